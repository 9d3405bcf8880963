package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks/sweep"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

// trial is a run of a sweep: what it is to be, and what of it there is.
type trial struct {
	sweep.Run
	stages []trialStage
	// What there is: the stage that the run was last started with (-1 before the
	// first), whether it came to that stage's end, and the steps recorded.
	stage   int
	ended   bool
	steps   int
	tokens  int64   // response tokens sampled in the recorded steps
	seconds float64 // that they took
}

// trialStage is a part of a run. It ends after so many steps of the whole run.
type trialStage struct {
	end int
	cfg config.Config
}

func (t *trial) last() trialStage { return t.stages[len(t.stages)-1] }

// spent tells whether the budget is used up, which ends a run in whatever stage it is.
func (t *trial) spent() bool {
	budget := t.last().cfg.Budget.Tokens
	return budget > 0 && t.tokens >= budget
}

// done: nothing is left of the run.
func (t *trial) done() bool {
	return t.ended && (t.spent() || t.stage == len(t.stages)-1 && t.steps >= t.last().end)
}

// next is the stage that is to be done.
func (t *trial) next() int {
	if t.ended && t.stage < len(t.stages)-1 {
		return t.stage + 1
	}
	return max(t.stage, 0)
}

// args are what justrl run is given for a stage of the run. A run that has begun
// knows what else it is; what may change at a resume is said again.
func (t *trial) args(stage int) []string {
	args := []string{"justrl", "run"}
	add := func(flag, value string) {
		if value != "" {
			args = append(args, "--"+flag+"="+value)
		}
	}
	begun := t.stage >= 0
	if begun {
		args = append(args, "--resume")
		if stage > t.stage {
			args = append(args, "--allow-changed-recipe")
		}
	} else {
		add("preset", t.Preset)
		add("config", t.Config)
		add("model", t.Model)
		add("data", t.Data)
		for _, v := range t.Validation {
			add("validation", v)
		}
		add("seed", fmt.Sprint(t.Seed))
	}
	for _, s := range t.Servers {
		add("server", s)
	}
	add("served-model", t.Served)
	add("out", t.Dir)
	end := t.end(stage)
	if stage < len(t.stages) {
		end = t.stages[stage].end
	}
	if end > 0 {
		add("steps", fmt.Sprint(end))
	}
	for _, s := range t.settings(stage) {
		add("set", s)
	}
	return args
}

// settings are all of a stage, the later ones over the earlier; what one stage sets
// stays until another sets it.
func (t *trial) settings(stage int) []string {
	all := slices.Clone(t.Set)
	for _, s := range t.Stages[:min(stage+1, len(t.Stages))] {
		all = append(all, s.Set...)
	}
	return all
}

// end is after how many steps of the run a stage ends; 0 is the preset's.
func (t *trial) end(stage int) int {
	end := 0
	for i, s := range t.Stages[:min(stage+1, len(t.Stages))] {
		if s.Steps == 0 && i == len(t.Stages)-1 {
			return t.Steps
		}
		end += s.Steps
	}
	if len(t.Stages) == 0 {
		return t.Steps
	}
	return end
}

// planTrials resolves and validates every run of a spec, and looks at what there
// is of it in its folder. It reports the faults of all, and asks no server.
func planTrials(c *cli.Context, spec *sweep.Spec, out string) ([]*trial, error) {
	out, err := filepath.Abs(out)
	if err != nil {
		return nil, err
	}
	var all []*trial
	var faults []error
	faulty := map[*sweep.Training]bool{} // the same fault in every seed's run is one
	for _, r := range spec.Runs(out) {
		t := &trial{Run: r, stage: -1}
		err := t.plan(c)
		if err != nil && !faulty[r.Training] {
			faulty[r.Training] = true
			for line := range strings.SplitSeq(err.Error(), "\n") {
				faults = append(faults, fmt.Errorf("%s (%s): %s", r.Where, r.Name, line))
			}
		}
		all = append(all, t)
	}
	return all, errors.Join(faults...)
}

func (t *trial) plan(c *cli.Context) error {
	for i := range max(1, len(t.Stages)) {
		cfg, err := trialConfig(c, t.args(i))
		if err != nil {
			return err
		}
		if n := len(t.stages); n > 0 && cfg.Steps <= t.stages[n-1].end {
			return fmt.Errorf("stage %d ends after %d steps, before it begins: the run's steps are those of all stages", i+1, cfg.Steps)
		}
		t.stages = append(t.stages, trialStage{cfg.Steps, cfg})
	}
	if n := len(t.Stages); n > 0 && t.Stages[n-1].Steps > 0 && t.Steps > 0 && t.Steps != t.last().end {
		return fmt.Errorf("steps is %d, and its stages have %d: leave one of them out", t.Steps, t.last().end)
	}
	return t.look()
}

// look finds what there is of the run, and refuses one that the spec no longer describes.
func (t *trial) look() error {
	t.stage, t.ended, t.steps, t.tokens, t.seconds = -1, false, 0, 0, 0
	path := filepath.Join(t.Dir, "config.yaml")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	was, err := config.LoadRun(path)
	if err != nil {
		return err
	}
	if was.Steps > t.last().end {
		return fmt.Errorf("it was begun with %d steps, and has %d now: give another --out, or put it back", was.Steps, t.last().end)
	}
	t.stage = slices.IndexFunc(t.stages, func(s trialStage) bool { return was.Steps <= s.end })
	is := t.stages[t.stage].cfg
	// What was fetched is a path there, of which only the run knows where it came from.
	is.Model, is.Data, is.Validation.Data = fetched(t.Model, was.Model), fetched(t.Data, was.Data), slices.Clone(is.Validation.Data)
	for i := range is.Validation.Data {
		if i < len(was.Validation.Data) {
			is.Validation.Data[i] = fetched(is.Validation.Data[i], was.Validation.Data[i])
		}
	}
	if err := absolute(&is); err != nil {
		return err
	}
	changed, err := changesOf(path, is)
	if err != nil {
		return err
	}
	if len(changed.recipe) > 0 {
		return fmt.Errorf("%s: that is another experiment than %s says: give the sweep another --out, or put it back", strings.Join(changed.recipe, ", "), path)
	}
	if err := t.count(t.Dir); err != nil {
		return err
	}
	summary, ended, err := journal.ReadSummary(t.Dir)
	if err != nil {
		return err
	}
	if t.ended = ended && summary.Steps >= t.steps; t.ended {
		t.tokens = summary.Tokens
	}
	return nil
}

// count adds the steps that are recorded in a run directory.
func (t *trial) count(dir string) error {
	for s, err := range journal.Lines[journal.Step](journal.StepsPath(dir)) {
		if err != nil {
			return err
		}
		t.steps, t.seconds, t.tokens = t.steps+1, t.seconds+s.Total, t.tokens+s.ResponseTokens()
	}
	return nil
}

// fetched is what a setting is in a run's configuration: a path stays one.
func fetched(is, was string) string {
	if filepath.IsAbs(is) {
		return is
	}
	return was
}

// trialConfig is the configuration that justrl run would have of these arguments
// for a new run.
func trialConfig(c *cli.Context, args []string) (cfg config.Config, err error) {
	err = asRun(c, args, func(c *cli.Context) (err error) {
		cfg, err = runConfig(c)
		return err
	})
	return cfg, err
}

// asRun is justrl run in this process; do takes the place of its action, unless it
// is nil. What the environment says is for runs that somebody starts: of these, the
// spec says what they are, and the environment only how servers and the machine are
// used. Its stdout is this command's stderr.
func asRun(c *cli.Context, args []string, do func(*cli.Context) error) error {
	command := runCommand()
	for _, f := range command.Flags {
		if !slices.Contains([]string{"sync", "device", "threads", "api-key", "api-key-file", "header", "ca-file", "share", "agent"}, f.Names()[0]) {
			withoutEnv(f)
		}
	}
	if do != nil {
		command.Action = do
	}
	if ca := c.String("ca-file"); ca != "" {
		args = append(slices.Clone(args), "--ca-file="+ca)
	}
	app := newApp(args, c.App.Reader, c.App.ErrWriter, c.App.ErrWriter)
	app.Commands = []*cli.Command{command}
	return app.RunContext(c.Context, args)
}

func withoutEnv(f cli.Flag) {
	switch f := f.(type) {
	case *cli.StringFlag:
		f.EnvVars = nil
	case *cli.StringSliceFlag:
		f.EnvVars = nil
	case *cli.IntFlag:
		f.EnvVars = nil
	case *cli.Int64Flag:
		f.EnvVars = nil
	case *cli.BoolFlag:
		f.EnvVars = nil
	case *cli.DurationFlag:
		f.EnvVars = nil
	case *cli.Float64Flag:
		f.EnvVars = nil
	}
}

// do does what is left of the run, stage by stage.
func (t *trial) do(c *cli.Context, run runner) error {
	for !t.done() {
		stage := t.next()
		if len(t.stages) > 1 {
			_, _ = fmt.Fprintf(c.App.ErrWriter, "%s: stage %d of %d, to step %d\n", t.Name, stage+1, len(t.stages), t.stages[stage].end)
		}
		if err := run(c, t.args(stage)); err != nil {
			return err
		}
		if err := t.look(); err != nil {
			return err
		}
		if !t.ended || t.stage < stage {
			return fmt.Errorf("%s: the run came to its end and has no summary of stage %d", t.Dir, stage+1)
		}
	}
	return nil
}
