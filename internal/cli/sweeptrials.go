package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks/sweep"
	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/compare"
	"github.com/justrl/justrl/orchestrator/report"
)

// runner is justrl run with arguments.
type runner func(c *cli.Context, args []string) error

// runTraining plans, shows, trains and reports.
func runTraining(c *cli.Context, spec *sweep.Spec, run runner) error {
	for _, flag := range []string{"python", "patience", "quiet"} {
		if given(c, flag) {
			return usagef("--%s is for evaluations; a spec that trains says it with set", flag)
		}
	}
	out := c.String("out")
	if c.Bool("dry-run") {
		all, err := planTrials(c, spec, out)
		if err != nil {
			return usage(err)
		}
		p, err := costTrials(all, c.StringSlice("figures"))
		if err != nil {
			return err
		}
		if c.Bool("json") {
			return jsonLines(c.App.Writer).Encode(p)
		}
		return p.text(c.App.Writer)
	}
	if _, err := planTrials(c, spec, out); err != nil { // before there is a folder
		return usage(err)
	}
	unlock, err := sweep.Lock(out)
	if err != nil {
		return err
	}
	return errors.Join(doTraining(c, spec, run), unlock())
}

// doTraining trains what is left; the folder is locked. A run that fails does not
// keep the others from being done.
func doTraining(c *cli.Context, spec *sweep.Spec, run runner) error {
	ctx, out := c.Context, c.String("out")
	all, err := planTrials(c, spec, out) // another process may have worked on it until now
	if err != nil {
		return usage(err)
	}
	p, err := costTrials(all, c.StringSlice("figures"))
	if err != nil {
		return err
	}
	if err := p.text(c.App.ErrWriter); err != nil {
		return err
	}
	var failed []error
	left := 0
	for i, t := range all {
		if t.done() {
			continue
		}
		_, _ = fmt.Fprintf(c.App.ErrWriter, "run %d of %d: %s\n", i+1, len(all), t.Name)
		err := t.do(c, run)
		if err == nil {
			continue
		}
		if left++; ctx.Err() != nil {
			left = len(slices.DeleteFunc(slices.Clone(all), func(t *trial) bool { return t.done() }))
			_, _ = fmt.Fprintf(c.App.ErrWriter, "%d of %d runs are complete in %s: the same command goes on from there\n", len(all)-left, len(all), out)
			if !isInterrupted(ctx, err) { // it failed, and that was why, or by chance
				return fmt.Errorf("%s: %w", t.Name, err)
			}
			return orchestrator.ErrInterrupted
		}
		failed = append(failed, fmt.Errorf("%s: %w", t.Name, err))
		_, _ = fmt.Fprintf(c.App.ErrWriter, "%s failed: %v\n", t.Name, err)
	}
	if left > 0 {
		_, _ = fmt.Fprintf(c.App.ErrWriter, "%d of %d runs are complete in %s: the same command goes on from there\n", len(all)-left, len(all), out)
	}
	return errors.Join(append([]error{finishTraining(c, all)}, failed...)...)
}

// curveName is the file in the folder of a sweep that trains with its first curve by
// tokens, for documents.
const curveName = "curves.svg"

// trialResults are the figures of a sweep that trains.
type trialResults struct {
	Out  string   `json:"out"`
	Left []string `json:"left,omitempty"` // runs that are not complete
	*compare.Comparison
}

// finishTraining compares the runs that are complete, as justrl report does, under the
// names that the spec has for their recipes.
func finishTraining(c *cli.Context, all []*trial) error {
	out := c.String("out")
	res := trialResults{Out: out}
	var runs []compare.Named
	var recipes []string // in the spec's order, whichever of their runs are complete
	for _, t := range all {
		if !slices.Contains(recipes, t.Training.Name) {
			recipes = append(recipes, t.Training.Name)
		}
		if !t.done() {
			res.Left = append(res.Left, t.Name)
			continue
		}
		runs = append(runs, compare.Named{Recipe: t.Training.Name, Dir: t.Dir})
	}
	if len(runs) == 0 {
		return nil
	}
	slices.SortStableFunc(runs, func(a, b compare.Named) int {
		return slices.Index(recipes, a.Recipe) - slices.Index(recipes, b.Recipe)
	})
	var err error
	if res.Comparison, err = compare.ReadNamed(runs); err != nil {
		return err
	}
	if first := runs[0].Recipe; first != recipes[0] {
		res.Notes = append(res.Notes, fmt.Sprintf("No run of %s is complete: the differences at the end are to %s.", recipes[0], first))
	}
	page := filepath.Join(out, report.Name)
	if err := writeFile(page, res.WriteHTML); err != nil {
		return err
	}
	if figure, ok := res.Curve(); ok {
		svg, err := figure.SVG()
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(out, curveName), func(w io.Writer) error { _, err := io.WriteString(w, svg); return err }); err != nil {
			return err
		}
	}
	if err := writeFile(filepath.Join(out, sweepResultsName), func(w io.Writer) error { return jsonLines(w).Encode(res) }); err != nil {
		return err
	}
	if c.Bool("json") {
		return jsonLines(c.App.Writer).Encode(res)
	}
	if err := res.WriteText(c.App.Writer); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "\nresults %s\nreport %s\n", filepath.Join(out, sweepResultsName), page)
	return err
}

// trialPlan is what is left of each run, and what that costs.
type trialPlan struct {
	Runs []trialCost `json:"runs"`
	// Seconds is the time that is left of all; 0 where that of a run is not known.
	Seconds float64 `json:"seconds"`
	Tokens  int64   `json:"tokens_at_most"`
	recipes int
}

// trialCost is one run's line of the plan. Steps and tokens are at most.
type trialCost struct {
	Name    string  `json:"name"`
	Done    bool    `json:"done"`
	Steps   int     `json:"steps"`
	Had     int     `json:"steps_recorded"`
	Tokens  int64   `json:"tokens_at_most"` // response tokens that are left
	Budget  int64   `json:"budget_tokens,omitempty"`
	Seconds float64 `json:"seconds"` // that are left; 0 where nothing was measured
	Stages  int     `json:"stages,omitempty"`
	Server  string  `json:"server"`
}

// costTrials estimates with what these runs measured, the same recipe's first, then
// any of the same folder, then those of other sweeps' folders.
func costTrials(all []*trial, figures []string) (p trialPlan, err error) {
	others, err := speedsOf(figures)
	if err != nil {
		return p, err
	}
	recipes := map[string]bool{}
	for _, t := range all {
		recipes[t.Training.Name] = true
		cost := trialCost{Name: t.Name, Done: t.done(), Steps: t.last().end, Had: t.steps, Budget: t.last().cfg.Budget.Tokens, Stages: len(t.Stages), Server: strings.Join(t.Servers, ", ")}
		if cost.Server == "" {
			cost.Server = embeddedName
		}
		if cost.Done {
			p.Runs = append(p.Runs, cost)
			continue
		}
		from := t.steps
		for _, s := range t.stages {
			if n := s.end - max(from, 0); n > 0 {
				cost.Tokens += int64(n) * int64(s.cfg.Sampling.Batch*s.cfg.Sampling.N*s.cfg.Sampling.MaxTokens)
				from = s.end
			}
		}
		left := float64(t.last().end - t.steps)
		if cost.Budget > 0 {
			cost.Tokens = min(cost.Tokens, max(0, cost.Budget-t.tokens))
		}
		sec, tokens, steps := speedOf(t, all, others)
		switch {
		case steps == 0:
		case cost.Budget > 0 && tokens > 0: // it ends with the budget, if that is sooner
			cost.Seconds = min(left*sec/float64(steps), float64(max(0, cost.Budget-t.tokens))*sec/float64(tokens))
		default:
			cost.Seconds = left * sec / float64(steps)
		}
		p.Tokens += cost.Tokens
		p.Runs = append(p.Runs, cost)
	}
	p.recipes = len(recipes)
	for _, r := range p.Runs {
		if !r.Done && r.Seconds == 0 {
			p.Seconds = 0
			return p, nil
		}
		p.Seconds += r.Seconds
	}
	return p, nil
}

// speedOf is what is known of a run's speed: seconds, tokens and steps.
func speedOf(t *trial, all []*trial, others []*trial) (seconds float64, tokens int64, steps int) {
	for _, like := range []func(*trial) bool{
		func(o *trial) bool { return o == t },
		func(o *trial) bool { return o.Training == t.Training },
		func(*trial) bool { return true },
	} {
		for _, o := range all {
			if like(o) {
				seconds, tokens, steps = seconds+o.seconds, tokens+o.tokens, steps+o.steps
			}
		}
		if steps > 0 {
			return seconds, tokens, steps
		}
	}
	for _, o := range others {
		seconds, tokens, steps = seconds+o.seconds, tokens+o.tokens, steps+o.steps
	}
	return seconds, tokens, steps
}

// speedsOf reads the runs of other sweeps' folders.
func speedsOf(dirs []string) (all []*trial, err error) {
	for _, dir := range dirs {
		runs, err := filepath.Glob(filepath.Join(dir, sweep.RunsDir, "*", "steps.jsonl"))
		if err != nil {
			return nil, err
		}
		if len(runs) == 0 {
			return nil, usagef("--figures %s: it is no folder of a sweep that trained: there are no runs in %s", dir, filepath.Join(dir, sweep.RunsDir))
		}
		for _, steps := range runs {
			t := &trial{}
			if err := t.count(filepath.Dir(steps)); err != nil {
				return nil, err
			}
			all = append(all, t)
		}
	}
	return all, nil
}

func (p trialPlan) text(w io.Writer) error {
	left := 0
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(tab, "run\tserver\tsteps\tleft\ttokens at most\ttime\n")
	for _, r := range p.Runs {
		steps, rest, tokens, spent := fmt.Sprint(r.Steps), "done", "", ""
		if r.Budget > 0 {
			steps = fmt.Sprintf("≤ %d", r.Steps)
		}
		if r.Stages > 1 {
			steps += fmt.Sprintf(" in %d stages", r.Stages)
		}
		if !r.Done {
			left++
			rest, tokens, spent = fmt.Sprint(r.Steps-r.Had), numerals.Count(r.Tokens), "not known"
			if r.Seconds > 0 {
				spent = roughly(r.Seconds)
			}
		}
		_, _ = fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.Server, steps, rest, tokens, spent)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	line := fmt.Sprintf("%s: %s, of which %d are left", numerals.CountOf(p.recipes, "recipe"), numerals.CountOf(len(p.Runs), "run"), left)
	if left > 0 {
		line += fmt.Sprintf(", with at most %s response tokens", numerals.Count(p.Tokens))
		if p.Seconds > 0 {
			line += "; about " + roughly(p.Seconds) + ", one after the other, validation not counted"
		} else {
			line += "; how long a step takes is known after the first (or with --figures)"
		}
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

func roughly(seconds float64) string {
	return (time.Duration(seconds) * time.Second).Round(time.Second).String()
}
