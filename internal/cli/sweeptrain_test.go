package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks/sweep"
	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/journal"
)

// fakeRuns stands for justrl run: it leaves the records of one, without training.
type fakeRuns struct {
	t *testing.T
	// breaks ends a run before this step, by its folder's name; once.
	breaks map[string]int
	err    error // that it ends with
	began  []string
	steps  int // done in all
}

func (f *fakeRuns) run(c *cli.Context, args []string) error {
	return asRun(c, args, func(c *cli.Context) error {
		cfg, err := runConfig(c)
		var changed changes
		if err == nil {
			changed, err = settle(c, &cfg)
		}
		if err != nil {
			return usage(err)
		}
		resume := c.Bool("resume")
		name := filepath.Base(cfg.Out)
		f.began = append(f.began, fmt.Sprintf("%s to %d with %d, resume %t", name, cfg.Steps, cfg.Sampling.MaxTokens, resume))
		d, _, err := openJournal(cfg, resume)
		if err != nil {
			return err
		}
		text, err := cfg.YAML()
		if err == nil && resume {
			had, stepsErr := d.Steps()
			err = errors.Join(stepsErr, d.AppendResume(journal.Resume{NextStep: len(had), Recipe: changed.recipe}), d.SetConfig(text))
		}
		if err != nil {
			return errors.Join(err, d.Close())
		}
		return errors.Join(f.fill(d, name, cfg.Steps, cfg.Budget.Tokens, cfg.Seed), d.Close())
	})
}

func (f *fakeRuns) fill(d *journal.Dir, name string, end int, budget, seed int64) error {
	had, err := d.Steps()
	if err != nil {
		return err
	}
	if err := d.Rewind(len(had)); err != nil {
		return err
	}
	good := 0.0
	if strings.HasPrefix(name, "good") {
		good = 0.5
	}
	tokens := int64(100 * len(had))
	s := journal.Summary{RewardFirst: -1}
	for step := len(had); step < end && (budget == 0 || tokens < budget); step++ {
		if at, breaks := f.breaks[name]; breaks && step == at {
			delete(f.breaks, name)
			return f.err
		}
		reward := -1 + good + 0.1*float64(step) + 0.01*float64(seed)
		if err := d.AppendStep(journal.Step{
			Step: step, ScoreMean: reward, Correct: (1 + reward) / 2, ResponseMean: 10, PromptMean: 5, Tokens: 150, Total: 2,
			Cost: journal.Cost{TokensGenerated: 100, TokensTrained: 100, FLOPsGenerated: 1e9, FLOPsTrained: 3e9, ServerSeconds: 1, TrainerSeconds: 1},
		}); err != nil {
			return err
		}
		f.steps++
		tokens += 100
		s.Steps, s.RewardLast, s.Tokens = step+1, reward, tokens
	}
	s.Steps = max(s.Steps, len(had))
	s.Tokens = tokens
	for _, steps := range []int{0, s.Steps} {
		share := good + 0.01*float64(steps) + 0.001*float64(seed*seed)
		v := journal.Validation{Steps: steps, Accuracy: map[string]float64{"sums": share}, Sampled: map[string]float64{"sums": share / 2}}
		if err := d.AppendValidation(v); err != nil {
			return err
		}
	}
	return d.WriteSummary(s)
}

// sweepWith is justrl sweep with other runs.
func sweepWith(f *fakeRuns, args ...string) (code int, stdout, stderr string) {
	f.t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"justrl", "sweep"}, args...)
	args = wordsLast(args)
	app := newApp(args, strings.NewReader(""), &out, &errs)
	command := sweepCommand()
	command.Action = func(c *cli.Context) error {
		spec, err := sweep.Read(c.Args().First())
		if err != nil {
			return usage(err)
		}
		return runTraining(c, spec, f.run)
	}
	app.Commands = []*cli.Command{command}
	err := app.RunContext(f.t.Context(), args)
	if err == nil {
		return ExitOK, out.String(), errs.String()
	}
	return exitCode(f.t.Context(), err), out.String(), errs.String() + err.Error()
}

// trainingSpec is two recipes with two seeds; more is added to the first.
func trainingSpec(t *testing.T, text string) string {
	t.Helper()
	policy, err := filepath.Abs("../../examples/arithmetic")
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "sweep.yaml", strings.ReplaceAll(text, "ARITHMETIC", policy))
}

const twoRecipes = `training:
  preset: tiny-cpu
  model: ARITHMETIC/policy
  data: ARITHMETIC/train.jsonl
  validation: ARITHMETIC/heldout.jsonl
  steps: 6
  seeds: [3, 4]
  set: [checkpoint.every=2]
  runs:
    - {name: plain}
    - {name: good, set: [update.clip_high=0.2]}
`

func TestSweepTrains(t *testing.T) {
	t.Setenv("JUSTRL_STEPS", "77") // what runs are is the spec's business
	t.Setenv("JUSTRL_SET", "seed=9")
	spec, out := trainingSpec(t, twoRecipes), filepath.Join(t.TempDir(), "out")
	f := &fakeRuns{t: t}
	code, stdout, stderr := sweepWith(f, spec, "--out", out, "--dry-run")
	if code != ExitOK || len(f.began) != 0 || !strings.Contains(stdout, ", of which 4 are left, with at most 589,824 response tokens; how long") {
		t.Fatalf("exit code %d, %q\n%s%s", code, f.began, stdout, stderr)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a dry run made the folder")
	}
	// It is broken off, as a kill does it, in the middle of the second run.
	f.breaks, f.err = map[string]int{"good-seed-3": 3}, context.Canceled
	if code, _, stderr := sweepWith(f, spec, "--out", out); code != ExitFailed || !strings.Contains(stderr, "3 of 4 runs are complete") {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	code, stdout, stderr = sweepWith(f, spec, "--out", out, "--dry-run")
	if code != ExitOK || !strings.Contains(stdout, "of which 1 are left") || !strings.Contains(stdout, "about 6s") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = sweepWith(f, spec, "--out", out)
	if code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	want := []string{
		"plain-seed-3 to 6 with 96, resume false", "good-seed-3 to 6 with 96, resume false",
		"plain-seed-4 to 6 with 96, resume false", "good-seed-4 to 6 with 96, resume false",
		"good-seed-3 to 6 with 96, resume true",
	}
	if !slices.Equal(f.began, want) || f.steps != 4*6 {
		t.Errorf("%d steps, %q", f.steps, f.began)
	}
	for _, want := range []string{
		"2 recipes, 4 runs", "after 600 tokens", "reward: cannot be told: good has the highest mean, but cannot be told from plain (+0.500 with every seed, which shows no spread)",
		"reward: good cannot be told from plain (+0.500 with every seed, which shows no spread)", "held-out accuracy, sums, sampled", "results.json", "report.html",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil || strings.Count(string(page), "<figure") < 4 {
		t.Errorf("%v, %d figures", err, strings.Count(string(page), "<figure"))
	}
	// Again nothing is done, and the same is said; a run alone is what run leaves.
	code, again, _ := sweepWith(f, spec, "--out", out)
	if code != ExitOK || again != stdout || len(f.began) != 5 {
		t.Errorf("exit code %d, %q\n%s", code, f.began, again)
	}
	if code, _, stderr := run(t, "report", filepath.Join(out, "runs", "good-seed-4")); code != ExitOK {
		t.Errorf("report: %s", stderr)
	}
	var results struct {
		Recipes []struct {
			Measures []struct {
				Name       string
				Difference *struct{ Mean float64 }
			}
		}
	}
	code, stdout, _ = sweepWith(f, spec, "--out", out, "--json")
	if err := json.Unmarshal([]byte(stdout), &results); code != ExitOK || err != nil {
		t.Fatalf("exit code %d, %v", code, err)
	}
	for _, m := range results.Recipes[1].Measures {
		if m.Name == "reward" && math.Abs(m.Difference.Mean-0.5) > 1e-9 {
			t.Errorf("%+v", m)
		}
	}
}

// justrl report on the run directories of a sweep says what the sweep's own report
// says, of a curriculum whose settings at the end are another recipe's too; only the
// names are others, because the spec has its own.
func TestSweepAndReportAgree(t *testing.T) {
	spec := trainingSpec(t, strings.Replace(twoRecipes, "    - {name: good", `    - {name: staged, stages: [{steps: 3, max_tokens: 32}, {max_tokens: 96}]}
    - {name: punished, set: [reward.overlong_buffer=8]}
    - {name: good`, 1))
	out := filepath.Join(t.TempDir(), "out")
	f := &fakeRuns{t: t}
	if code, _, stderr := sweepWith(f, spec, "--out", out); code != ExitOK {
		t.Fatal(stderr)
	}
	page := filepath.Join(t.TempDir(), "page.html")
	var dirs []string
	for _, name := range []string{"plain", "staged", "punished", "good"} {
		for _, seed := range []string{"3", "4"} {
			dirs = append(dirs, filepath.Join(out, "runs", name+"-seed-"+seed))
		}
	}
	said := func(args ...string) (json, text string) {
		code, json, stderr := run(t, slices.Insert(slices.Clone(args), 1, "--json")...)
		again, text, _ := run(t, args...)
		if code != ExitOK || again != ExitOK {
			t.Fatalf("%v: exit code %d, %s", args, code, stderr)
		}
		return json, text
	}
	swept, sweptText := said("sweep", "--out", out, spec)
	reported, reportedText := said(append([]string{"report", "--out", page}, dirs...)...)
	type results struct {
		Recipes []struct{ Name string }
		Equal   []struct{ Measures []struct{ Verdict string } } `json:"equal_budgets"`
	}
	var of, named results
	for text, into := range map[string]*results{reported: &of, swept: &named} {
		if err := json.Unmarshal([]byte(text), into); err != nil || len(into.Recipes) != 4 || len(into.Equal) != 2 || len(into.Equal[0].Measures) != 4 {
			t.Fatalf("%v: %s", err, text)
		}
	}
	if !strings.Contains(of.Recipes[1].Name, "sampling.max_tokens=96 from step 4") || !strings.Contains(of.Equal[0].Measures[0].Verdict, "not compared") || !strings.Contains(sweptText, "staged cannot be told from plain (0") {
		t.Errorf("%+v\n%s", of, sweptText)
	}
	var names []string // the longest first: some begin as others do
	for i, r := range of.Recipes {
		names = append(names, r.Name, named.Recipes[i].Name)
	}
	slices.Reverse(names)
	for i := 0; i < len(names); i += 2 {
		names[i], names[i+1] = names[i+1], names[i]
	}
	rename := strings.NewReplacer(names...)
	everything := func(text string) (all any) {
		if err := json.Unmarshal([]byte(rename.Replace(text)), &all); err != nil {
			t.Fatal(err)
		}
		delete(all.(map[string]any), "out")
		return all
	}
	if d := cmp.Diff(everything(swept), everything(reported)); d != "" {
		t.Errorf("as JSON (-sweep +report):\n%s", d)
	}
	lines := func(text, keep string) (all []string) {
		for line := range strings.Lines(rename.Replace(text)) {
			if line = strings.Join(strings.Fields(line), " "); strings.Contains(line, keep) && !strings.HasPrefix(line, "results ") && !strings.HasPrefix(line, "report ") {
				all = append(all, line)
			}
		}
		return all
	}
	if d := cmp.Diff(lines(sweptText, ""), lines(reportedText+"\n", "")); d != "" {
		t.Errorf("as text (-sweep +report):\n%s", d)
	}
	a, err := os.ReadFile(filepath.Join(out, "report.html"))
	b, otherErr := os.ReadFile(page)
	if err := errors.Join(err, otherErr); err != nil {
		t.Fatal(err)
	}
	for _, keep := range []string{"<tr>", `class="verdict`, `<li><span class="key`} { // of diagrams the legends, with first and last values
		got, want := lines(string(b), keep), lines(string(a), keep)
		if d := cmp.Diff(want, got); d != "" || len(want) < 20 {
			t.Errorf("%d lines of the page with %s (-sweep +report):\n%s", len(want), keep, d)
		}
	}
}

// What a run may still sample is no more than its stages can, nor than the rest of
// its budget.
func TestPlannedTokens(t *testing.T) {
	const spec = `training:
  preset: tiny-cpu
  model: ARITHMETIC/policy
  data: ARITHMETIC/train.jsonl
  seeds: 1
  steps: 9
  set: [sampling.batch=2, sampling.n=2, update.mini_batch=2, budget.tokens=BUDGET]
  runs: [{name: staged, stages: [{steps: 6, max_tokens: 16}, {max_tokens: 32}]}]
`
	for _, tc := range []struct {
		name   string
		budget string
		breaks int // before this step; every step before has sampled 100 tokens
		want   int64
	}{
		{"nothing done, a large budget", "5000", 0, 6*4*16 + 3*4*32},
		{"nothing done, a small budget", "500", 0, 500},
		{"a budget above what the last step can sample, nearly used up", "860", 8, 60},
		{"a budget below what is left of the stages", "390", 3, 90},
		{"much of the budget left", "5000", 7, 2 * 4 * 32},
		{"no budget", "0", 7, 2 * 4 * 32},
	} {
		f := &fakeRuns{t: t, breaks: map[string]int{"staged-seed-1": tc.breaks}, err: errors.New("broken")}
		path, out := trainingSpec(t, strings.Replace(spec, "BUDGET", tc.budget, 1)), filepath.Join(t.TempDir(), "out")
		if tc.breaks > 0 {
			if code, _, stderr := sweepWith(f, path, "--out", out); code != ExitFailed {
				t.Fatalf("%s: exit code %d\n%s", tc.name, code, stderr)
			}
		}
		var plan struct {
			Runs []struct {
				Tokens int64 `json:"tokens_at_most"`
			}
			Tokens int64 `json:"tokens_at_most"`
		}
		code, stdout, stderr := sweepWith(f, path, "--out", out, "--dry-run", "--json")
		if err := json.Unmarshal([]byte(stdout), &plan); code != ExitOK || err != nil {
			t.Fatalf("%s: exit code %d, %v\n%s", tc.name, code, err, stderr)
		}
		if plan.Runs[0].Tokens != tc.want || plan.Tokens != tc.want {
			t.Errorf("%s: at most %d tokens, want %d", tc.name, plan.Runs[0].Tokens, tc.want)
		}
	}
}

// A spec may grow by seeds, recipes and steps; what a run is cannot change.
func TestSweepOfRunsGrows(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	f := &fakeRuns{t: t}
	if code, _, stderr := sweepWith(f, trainingSpec(t, twoRecipes), "--out", out); code != ExitOK {
		t.Fatal(stderr)
	}
	for _, change := range [][2]string{
		{"clip_high=0.2", "clip_high=0.3"}, {"preset: tiny-cpu", "preset: justrl-deepseek-1.5b"}, {"heldout.jsonl", "train.jsonl"}, {"steps: 6", "steps: 5"},
	} {
		code, _, stderr := sweepWith(f, trainingSpec(t, strings.Replace(twoRecipes, change[0], change[1], 1)), "--out", out)
		if code != ExitUsage || !strings.Contains(stderr, "sweep.yaml:") || len(f.began) != 4 {
			t.Errorf("%q: exit code %d, %q\n%s", change, code, f.began, stderr)
		}
	}
	more := strings.NewReplacer("[3, 4]", "[3, 4, 5]", "steps: 6", "steps: 7", "checkpoint.every=2", "checkpoint.every=3").Replace(twoRecipes)
	code, _, stderr := sweepWith(f, trainingSpec(t, more), "--out", out)
	if code != ExitOK || len(f.began) != 10 || f.steps != 6*7 || f.began[4] != "plain-seed-3 to 7 with 96, resume true" {
		t.Errorf("exit code %d, %d steps, %q\n%s", code, f.steps, f.began, stderr)
	}
}

// What stands in for the spec's first recipe, as long as none of its runs is complete, is named.
func TestSweepWithoutItsFirstRecipe(t *testing.T) {
	f := &fakeRuns{t: t, breaks: map[string]int{"plain-seed-3": 2, "plain-seed-4": 2}, err: errors.New("broken")}
	code, stdout, _ := sweepWith(f, trainingSpec(t, twoRecipes), "--out", filepath.Join(t.TempDir(), "out"))
	if want := "note: No run of plain is complete: the differences at the end are to good."; code != ExitFailed || !strings.Contains(stdout, want) {
		t.Errorf("exit code %d, %q is not in\n%s", code, want, stdout)
	}
}

func TestSweepStagesAndBudgets(t *testing.T) {
	spec := trainingSpec(t, `training:
  preset: dr-grpo
  model: ARITHMETIC/policy
  data: ARITHMETIC/train.jsonl
  steps: 9
  seeds: 1
  runs:
    - name: staged
      stages: [{steps: 2, max_tokens: 32}, {steps: 3, max_tokens: 64, set: [reward.overlong_buffer=8]}, {set: [sampling.max_tokens=96]}]
    - name: budgeted
      set: [budget.tokens=350]
    - name: both
      set: [budget.tokens=450]
      stages: [{steps: 3, max_tokens: 32}, {steps: 3, max_tokens: 64}, {max_tokens: 96}]
`)
	out := filepath.Join(t.TempDir(), "out")
	f := &fakeRuns{t: t, breaks: map[string]int{"staged-seed-1": 4}, err: errors.New("broken")}
	if code, _, stderr := sweepWith(f, spec, "--out", out); code != ExitFailed || !strings.Contains(stderr, "staged-seed-1 failed: broken") {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	code, _, stderr := sweepWith(f, spec, "--out", out)
	want := []string{
		"staged-seed-1 to 2 with 32, resume false", "staged-seed-1 to 5 with 64, resume true",
		"budgeted-seed-1 to 9 with 15360, resume false",
		"both-seed-1 to 3 with 32, resume false", "both-seed-1 to 6 with 64, resume true",
		"staged-seed-1 to 5 with 64, resume true", "staged-seed-1 to 9 with 96, resume true",
	}
	if code != ExitOK || !slices.Equal(f.began, want) {
		t.Errorf("exit code %d, %q\n%s", code, f.began, stderr)
	}
	for name, steps := range map[string]int{"staged": 9, "budgeted": 4, "both": 5} {
		s, ok, err := journal.ReadSummary(filepath.Join(out, "runs", name+"-seed-1"))
		if s.Steps != steps || !ok || err != nil {
			t.Errorf("%s: %d steps, %v", name, s.Steps, err)
		}
	}
	// What a stage sets stays: the run says what it was at the end, constant included.
	text, err := os.ReadFile(filepath.Join(out, "runs", "staged-seed-1", "config.yaml"))
	for _, line := range []string{"overlong_buffer: 8 ", "max_tokens: 96 ", fmt.Sprintf("norm_tokens: %d ", 64*8*96)} {
		if err != nil || !strings.Contains(string(text), line) {
			t.Errorf("%q is not in the configuration (%v)", line, err)
		}
	}
}

func TestSweepOfRunsIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &fakeRuns{t: t}
	spec, out := trainingSpec(t, twoRecipes), filepath.Join(t.TempDir(), "out")
	args := []string{"justrl", "sweep", "--out", out, spec}
	var errs bytes.Buffer
	app := newApp(args, strings.NewReader(""), &errs, &errs)
	command := sweepCommand()
	command.Action = func(c *cli.Context) error {
		s, err := sweep.Read(spec)
		if err != nil {
			return err
		}
		return runTraining(c, s, func(c *cli.Context, args []string) error {
			if len(f.began) == 1 {
				cancel()
				return orchestrator.ErrInterrupted
			}
			return f.run(c, args)
		})
	}
	app.Commands = []*cli.Command{command}
	err := app.RunContext(ctx, args)
	if code := exitCode(ctx, err); code != ExitInterrupted || len(f.began) != 1 || !strings.Contains(errs.String(), "1 of 4 runs are complete") {
		t.Errorf("exit code %d, %v, %q\n%s", code, err, f.began, errs.String())
	}
}

func TestSweepTrainingFaults(t *testing.T) {
	for _, tc := range []struct{ name, from, to, want string }{
		{"a setting that is not", "clip_high=0.2", "clip=0.2", `unknown key "clip"`},
		{"a preset that is not", "preset: tiny-cpu", "preset: huge", `unknown preset "huge"`},
		{"a value out of range", "update.clip_high=0.2", "sampling.n=1", "must be at least 2"},
		{"a setting with a key of its own", "update.clip_high=0.2", "seed=3", "has a key of its own"},
		{"no assignment", "update.clip_high=0.2", "clip_high", "want KEY=VALUE"},
		{"the same name", "name: good", "name: PLAIN", "is there already"},
		{"the same seed", "[3, 4]", "[3, 3]", "has 3 twice"},
		{"evaluation keys", "training:", "models: [x]\ntraining:", "models: is for evaluations"},
		{"a name for no folder", "name: good", "name: ../good", "it is a folder's"},
		{"no model", "  model: ARITHMETIC/policy\n", "", "needs a model and data"},
		{"stages over steps", "name: plain", "name: plain, stages: [{steps: 3}, {steps: 4}]", "steps is 6, and its stages have 7"},
		{"a stage without steps", "name: plain", "name: plain, stages: [{max_tokens: 3}, {steps: 4}]", "stage 1 needs steps"},
		{"a last stage without room", "name: plain", "name: plain, stages: [{steps: 6}, {max_tokens: 4}]", "stage 2 ends after 6 steps"},
		{"no runs", "  runs:\n    - {name: plain}\n    - {name: good, set: [update.clip_high=0.2]}\n", "", "needs runs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !strings.Contains(twoRecipes, tc.from) {
				t.Fatal("the test changes nothing")
			}
			f := &fakeRuns{t: t}
			out := filepath.Join(t.TempDir(), "out")
			code, _, stderr := sweepWith(f, trainingSpec(t, strings.Replace(twoRecipes, tc.from, tc.to, 1)), "--out", out)
			if code != ExitUsage || !strings.Contains(stderr, tc.want) || !strings.Contains(stderr, "sweep.yaml:") || len(f.began) > 0 {
				t.Errorf("exit code %d, want 2 and %q\n%s", code, tc.want, stderr)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("the folder was made")
			}
		})
	}
}

// Every spec of the examples is one; the tiny ones have JustRL's recipe at
// tiny-cpu's sizes.
func TestExampleSweeps(t *testing.T) {
	specs, err := filepath.Glob("../../examples/sweeps/*.yaml")
	if err != nil || len(specs) < 7 {
		t.Fatalf("%v, %q", err, specs)
	}
	for _, spec := range specs {
		if filepath.Base(spec) == "tiny.yaml" {
			continue
		}
		code, stdout, stderr := run(t, "sweep", spec, "--out", filepath.Join(t.TempDir(), "out"), "--dry-run")
		if code != ExitOK || !strings.Contains(stdout, " left, with at most ") {
			t.Errorf("%s: exit code %d\n%s%s", spec, code, stdout, stderr)
		}
	}
	sized, err := resolve("", "../../examples/sweeps/tiny.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	tiny, err := resolve("tiny-cpu", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	tiny.Preset, tiny.Steps, tiny.Checkpoint.Rollouts, tiny.Validation.Every = sized.Preset, sized.Steps, sized.Checkpoint.Rollouts, sized.Validation.Every
	if d := sized.Differences(tiny); len(d) > 0 {
		t.Errorf("tiny.yaml has other sizes than tiny-cpu: %q", d)
	}
}
