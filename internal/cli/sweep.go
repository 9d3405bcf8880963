package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/judge"
	"github.com/justrl/justrl/benchmarks/sets"
	"github.com/justrl/justrl/benchmarks/sweep"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator/config"
)

func sweepCommand() *cli.Command {
	return &cli.Command{
		Name:      "sweep",
		Usage:     "evaluate a matrix of models, servers, sets, sampling, templates and judges, or train recipes with several seeds",
		ArgsUsage: "SPEC",
		Description: "SPEC is a YAML file of lists (docs/sweeps.md, examples/sweep.yaml); every combination is a cell. The plan is\n" +
			"shown with its cost first; --dry-run ends there and asks no server. Every answer is in --out as soon as it is\n" +
			"complete: the same command goes on where an earlier one ended. A spec may grow in between: new cells and\n" +
			"more problems are added, and a change of those there are is refused. Below --out, cells/NAME is\n" +
			"what justrl eval leaves.\n\n" +
			"A SPEC with training: has recipes and seeds instead. Each run is in runs/NAME-seed-S below --out, as justrl run\n" +
			"leaves it; they are done one after the other, and the same command goes on where an earlier one ended.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", EnvVars: []string{"JUSTRL_OUT"}, Usage: "`DIR` of the sweep; one that has some goes on"},
			&cli.BoolFlag{Name: "dry-run", DisableDefaultText: true, Usage: "show the plan with its cost, and end"},
			&cli.StringSliceFlag{Name: "figures", EnvVars: []string{"JUSTRL_FIGURES"}, Usage: "estimate with speeds and lengths measured in `DIR`, another sweep's --out, where this one has none; may be repeated"},
			&cli.StringFlag{Name: "python", EnvVars: []string{"JUSTRL_PYTHON"}, DefaultText: "one of its own", Usage: "interpreter at `PATH` for the rule grader"},
			&cli.DurationFlag{Name: "patience", EnvVars: []string{"JUSTRL_PATIENCE"}, Value: 3 * time.Minute, Usage: "go on trying servers that fail for `TIME`"},
			&cli.DurationFlag{Name: "quiet", EnvVars: []string{"JUSTRL_QUIET"}, Value: evaluate.DefaultQuiet, Usage: "take a server that sends nothing at all for `TIME` to be dead"},
			&cli.BoolFlag{Name: "json", DisableDefaultText: true, Usage: "print the plan or the results as JSON"},
			caFlag(),
		},
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			words, err := words(c)
			if err != nil {
				return err
			}
			if len(words) != 1 {
				return usagef("sweep needs one SPEC, a YAML file, got %q; see justrl sweep --help", words)
			}
			if err := need(c, "out"); err != nil {
				return err
			}
			for _, flag := range []string{"patience", "quiet"} {
				if c.Duration(flag) <= 0 {
					return usagef("--%s must be above 0, is %v", flag, c.Duration(flag))
				}
			}
			return runSweep(c, words[0])
		},
	}
}

// runSweep plans, shows, measures and reports.
func runSweep(c *cli.Context, path string) error {
	spec, err := sweep.Read(path)
	if err != nil {
		return usage(err)
	}
	if len(spec.Training) > 0 {
		return runTraining(c, spec, func(c *cli.Context, args []string) error { return asRun(c, args, nil) })
	}
	r, err := sweepReward(c, spec)
	if err != nil {
		return err
	}
	out := c.String("out")
	var sums sweep.Sums
	if c.Bool("dry-run") { // otherwise all sets are read before anything is done
		own, err := ownProblems(c, spec)
		if err != nil {
			return err
		}
		sums = sumsOf(own)
	}
	plan, st, err := planSweep(spec, out, sums)
	if err != nil {
		return err
	}
	others, err := figures(c)
	if err != nil {
		return err
	}
	if c.Bool("dry-run") {
		costs := plan.Costs(st.With(others))
		if c.Bool("json") {
			return costs.JSON(c.App.Writer)
		}
		return plan.Text(c.App.Writer, costs)
	}
	unlock, err := sweep.Lock(out)
	if err != nil {
		return err
	}
	err = doSweep(c, spec, r, others)
	return errors.Join(err, unlock())
}

// figures reads what other sweeps measured.
func figures(c *cli.Context) ([]*sweep.State, error) {
	var all []*sweep.State
	for _, dir := range c.StringSlice("figures") {
		if _, err := os.Stat(filepath.Join(dir, sweep.StateName)); err != nil {
			return nil, usagef("--figures %s: it is no sweep's folder: %v", dir, err)
		}
		st, err := sweep.ReadState(dir)
		if err != nil {
			return nil, err
		}
		all = append(all, st)
	}
	return all, nil
}

// planSweep looks at a spec in a folder; sums are of the sets that were read.
func planSweep(spec *sweep.Spec, out string, sums sweep.Sums) (*sweep.Plan, *sweep.State, error) {
	plan, err := sweep.NewPlan(spec, out, sums)
	if err != nil {
		return nil, nil, err
	}
	st, err := sweep.ReadState(out)
	if err != nil {
		return nil, nil, err
	}
	return plan, st, usage(st.Join(plan, sums))
}

// doSweep measures; the folder is locked.
func doSweep(c *cli.Context, spec *sweep.Spec, r config.Reward, others []*sweep.State) (err error) {
	ctx, out := c.Context, c.String("out")
	problems, err := sweepProblems(c, spec)
	if err != nil {
		return err
	}
	plan, st, err := planSweep(spec, out, sumsOf(problems))
	if err != nil {
		return err
	}
	if err := plan.Text(c.App.ErrWriter, plan.Costs(st.With(others))); err != nil {
		return err
	}
	if st.Began.IsZero() {
		st.Began = time.Now().UTC().Truncate(time.Second)
	}
	st.Version = version()
	if err := st.Write(out); err != nil {
		return err
	}
	if len(plan.Left()) == 0 {
		return finishSweep(c, plan)
	}
	err = measureSweep(c, plan, st, problems, r)
	if err != nil && ctx.Err() == nil && !isServerError(err) {
		return err
	}
	after, planErr := sweep.NewPlan(spec, out, sumsOf(problems))
	if planErr != nil {
		return errors.Join(err, planErr)
	}
	if rest := len(after.Left()); rest > 0 {
		_, _ = fmt.Fprintf(c.App.ErrWriter, "%d of %d evaluations are complete in %s: the same command goes on from there\n", len(after.Evaluations)-rest, len(after.Evaluations), out)
	}
	if ctx.Err() != nil {
		return err
	}
	return errors.Join(finishSweep(c, after), err)
}

// measureSweep does what is left, with one verifier for all.
func measureSweep(c *cli.Context, plan *sweep.Plan, st *sweep.State, problems map[*sweep.Set][]benchmarks.Problem, r config.Reward) (err error) {
	rules, closeVerifier, err := openRules(c, r, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeVerifier()) }()
	total := 0
	for _, e := range plan.Left() {
		for _, cell := range e.Cells {
			total += cell.Size()
		}
	}
	w := &sweeping{c: c, plan: plan, problems: problems, rules: rules, shown: newEvalProgress(c.App.ErrWriter, total)}
	defer func() { err = errors.Join(err, w.shown.Close()) }()
	return w.do(c.Context, st)
}

// sweeping is a sweep under way.
type sweeping struct {
	c        *cli.Context
	plan     *sweep.Plan
	problems map[*sweep.Set][]benchmarks.Problem
	rules    rules
	shown    *evalProgress
	titles   sync.Map // of *evaluate.Cell
}

func (w *sweeping) do(ctx context.Context, st *sweep.State) (err error) {
	w.shown.title = func(c *evaluate.Cell) string {
		title, _ := w.titles.Load(c)
		return fmt.Sprint(title)
	}
	servers, closeServers, err := w.deployments()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeServers()) }()
	s := &sweep.Sweep{
		Plan: w.plan, State: st, Deployments: servers, Run: w.one, ServersFault: isServerError, Notice: w.shown.Notice,
		Retry: endpoint.Retry{Patience: w.c.Duration("patience"), Notify: w.shown.Retrying}, Quiet: w.c.Duration("quiet"),
	}
	return s.Do(ctx)
}

// one does one evaluation.
func (w *sweeping) one(ctx context.Context, work sweep.Work) error {
	s := work.Sampling
	m := measurement{
		model: work.Model.Name, sampling: evaluate.Sampling{Temperature: s.Temperature, TopP: s.TopP, MaxTokens: s.MaxTokens, Seed: s.Seed},
		asker: work.Asker, concurrency: work.Concurrency, servers: work.Servers, found: work.Findings,
		rules: w.rules, out: work.Dir, shown: w.shown,
		answered: func(c *evaluate.Cell, g benchmarks.Generation) { work.Answered(c.Set, g.Tokens) },
	}
	if j := work.Judge; j != nil {
		trusted, err := trusting(w.c.String("ca-file"))
		if err != nil {
			return usage(err)
		}
		m.jury = juryOptions{
			url: j.URL, model: j.Model, apiKey: os.Getenv(j.APIKeyEnv), tls: trusted, template: j.Template,
			emptyQuestion: j.EmptyQuestion, tail: j.Tail, patience: w.c.Duration("patience"),
		}
	}
	for _, c := range work.Cells {
		cell := w.cell(c)
		w.titles.Store(cell, work.TemplateLabel(c.Template.Title())+" · "+c.Set.Name)
		m.cells = append(m.cells, cell)
	}
	for _, server := range work.Servers {
		if server.MaxModelLen > 0 && server.MaxModelLen <= s.MaxTokens {
			w.shown.Notice("%s has a context of %d tokens: answers are cut at what a question leaves of it, not at %d", server.URL, server.MaxModelLen, s.MaxTokens)
		}
	}
	_, err := m.do(ctx)
	return err
}

func (w *sweeping) cell(c *sweep.Cell) *evaluate.Cell {
	return &evaluate.Cell{
		Set: c.Set.Name, Template: c.Template, Problems: w.problems[c.Set], N: c.N,
		Open: func(known func(benchmarks.Generation) error) (evaluate.Store, error) {
			if err := os.MkdirAll(filepath.Dir(c.File), 0o777); err != nil {
				return nil, err
			}
			return generations.Append(c.File, known)
		},
	}
}

// sweepReward is the verifier's configuration; the judges' templates are read too.
func sweepReward(c *cli.Context, spec *sweep.Spec) (r config.Reward, err error) {
	cfg, err := config.Preset(config.DefaultPreset)
	if err != nil {
		return r, err
	}
	cfg.Reward.Verifier = config.VerifierRule
	if spec.Verifier != "" {
		cfg.Reward.Verifier = spec.Verifier
	}
	if err := setAll(&cfg, spec.Set); err != nil {
		return r, usage(err)
	}
	r = cfg.Reward
	if p := c.String("python"); p != "" {
		r.Python = p
	}
	err = r.Validate()
	for _, j := range spec.Judges {
		if j != nil && j.Template != "" {
			_, readErr := judge.Read(j.Template)
			err = errors.Join(err, readErr)
		}
	}
	return r, usage(err)
}

// sweepProblems reads the sets, as far as the limit; they are fetched if need be.
func sweepProblems(c *cli.Context, spec *sweep.Spec) (map[*sweep.Set][]benchmarks.Problem, error) {
	client, show, err := openHub(c.App.ErrWriter, "text")
	if err != nil {
		return nil, err
	}
	defer client.Close()
	store := sets.Store{Dir: spec.DataDir, Hub: client}
	out := map[*sweep.Set][]benchmarks.Problem{}
	for _, s := range spec.Sets {
		var problems []benchmarks.Problem
		if s.Path != "" {
			problems, err = s.Open(c.Context)
		} else {
			var set sets.Set
			if set, err = sets.Lookup(s.Name); err == nil {
				problems, err = store.Load(c.Context, set)
			}
		}
		if err == nil && len(problems) != s.Rows {
			err = fmt.Errorf("%s has changed while it was read: %d problems, then %d", s.Name, s.Rows, len(problems))
		}
		if err != nil {
			return nil, errors.Join(err, show.Close())
		}
		if spec.Limit > 0 {
			problems = problems[:min(len(problems), spec.Limit)]
		}
		out[s] = slices.Clip(problems)
	}
	return out, show.Close()
}

// ownProblems reads the sets that are files of the user's own, as far as the limit.
func ownProblems(c *cli.Context, spec *sweep.Spec) (map[*sweep.Set][]benchmarks.Problem, error) {
	out := map[*sweep.Set][]benchmarks.Problem{}
	for _, s := range spec.Sets {
		if s.Path == "" {
			continue
		}
		problems, err := s.Open(c.Context)
		if err != nil {
			return nil, err
		}
		if spec.Limit > 0 {
			problems = problems[:min(len(problems), spec.Limit)]
		}
		out[s] = problems
	}
	return out, nil
}

// sumsOf has hashes of the sets' first problems.
func sumsOf(problems map[*sweep.Set][]benchmarks.Problem) sweep.Sums {
	return func(set string, n int) (string, bool) {
		for s, p := range problems {
			if s.Name == set && n <= len(p) {
				return evaluate.SumOf(p[:n]), true
			}
		}
		return "", false
	}
}
