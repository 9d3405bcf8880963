package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/webpage"
	"github.com/justrl/justrl/internal/webpage/webpagetest"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater"
)

var update = flag.Bool("update", false, "rewrite testdata")

// made is a made-up run.
type made struct {
	name   string
	seed   int64
	change func(*config.Config)
	steps  []journal.Step
	held   map[int]float64 // accuracy on the set "h", by steps done
	spent  []journal.Spent
	// heat is how far sampled answers are below; 0 where none were sampled.
	heat    float64
	resumes []journal.Resume
	summary *journal.Summary
}

func (m made) sampled(a float64) map[string]float64 {
	if m.heat == 0 {
		return nil
	}
	return map[string]float64{"h": a * (1 - m.heat)}
}

func write(t testing.TB, dir, name string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func lines[T any](t testing.TB, values []T) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// in writes the run into a folder of its name, and returns that.
func (m made) in(t testing.TB, root string) string {
	t.Helper()
	dir := filepath.Join(root, m.name)
	c, err := config.Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	c.Out, c.Seed, c.Steps = dir, m.seed, len(m.steps)
	if m.change != nil {
		m.change(&c)
	}
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var measured []journal.Validation
	for steps := range len(m.steps) + 1 {
		if a, ok := m.held[steps]; ok {
			measured = append(measured, journal.Validation{Steps: steps, Accuracy: map[string]float64{"h": a}, Sampled: m.sampled(a), Cost: journal.Cost{TokensValidated: 50, FLOPsValidated: 500}})
		}
	}
	write(t, dir, "run.json", fmt.Appendf(nil, `{"id":"x","seed":%d}`, m.seed))
	write(t, dir, "config.yaml", text)
	write(t, dir, "steps.jsonl", lines(t, m.steps))
	write(t, dir, "validation.jsonl", lines(t, measured))
	if m.spent != nil {
		write(t, dir, "spent.jsonl", lines(t, m.spent))
	}
	if m.resumes != nil {
		write(t, dir, "resumes.jsonl", lines(t, m.resumes))
	}
	if m.summary != nil {
		write(t, dir, "summary.json", lines(t, []journal.Summary{*m.summary}))
	}
	return dir
}

// steps are ten of a run whose reward rises by so much a step, from base.
func steps(base, rise float64, each journal.Cost) (all []journal.Step) {
	for i := range 10 {
		reward := base + rise*float64(i)
		all = append(all, journal.Step{
			Step: i, ScoreMean: reward, Correct: (1 + reward) / 2, Cost: each,
			ResponseMean: 40 - 20*reward, ResponseClip: 0.02 * float64(9-i), UpdateMetrics: updater.UpdateMetrics{Entropy: 0.5 / float64(i+1)}, WeightsSHA256: fmt.Sprintf("%064x", i),
		})
	}
	return all
}

// Two recipes with three seeds. One draws three times the tokens a step, both take
// the same operations. By hand, with rewards from −0.5 on, to which
// seed s adds s/100, to wide's the next seed's (the first's to the third):
//
//	tokens: both have reached 1,000. narrow has done 10 steps, its last five come to −0.5 + 0.56 + s/100;
//	        wide has done 3 (900 tokens), which come to −0.5 + 0.16: narrow is ahead by 0.39, 0.39 and 0.42.
//	FLOPs:  both have reached 40,000, after 10 steps: wide's last five come to −0.5 + 1.12, ahead by 0.57, 0.57, 0.54.
//
// The standard error of each difference is 0.01, of which the interval has 4.303 to either side.
func twoRecipes(t testing.TB, root string) (dirs []string) {
	for s := range int64(3) {
		base, other := float64(s+1)/100, float64((s+1)%3+1)/100
		narrow := made{name: fmt.Sprintf("narrow-%d", s+1), seed: s + 1, held: map[int]float64{0: 0.1, 5: 0.5 + base, 10: 0.6 + base},
			steps: steps(base-0.5, 0.08, journal.Cost{TokensGenerated: 100, TokensTrained: 100, FLOPsGenerated: 1000, FLOPsTrained: 3000, ServerSeconds: 2, TrainerSeconds: 1})}
		wide := made{name: fmt.Sprintf("wide-%d", s+1), seed: s + 1, held: map[int]float64{0: 0.1, 5: 0.3, 10: 0.9 + other},
			change: func(c *config.Config) { c.Update.ClipHigh = 0.2; c.Sampling.Concurrency++ },
			steps:  steps(other-0.5, 0.16, journal.Cost{TokensGenerated: 290, TokensResampled: 10, TokensTrained: 290, FLOPsGenerated: 1000, FLOPsTrained: 3000, ServerSeconds: 6, TrainerSeconds: 2})}
		if s == 0 {
			wide.spent = []journal.Spent{{Step: 4, Why: journal.SpentRewound, Kept: true, Cost: journal.Cost{TokensGenerated: 300, FLOPsTrained: 3000}}}
		}
		dirs = append(dirs, narrow.in(t, root), wide.in(t, root))
	}
	return dirs
}

func TestEqualBudgets(t *testing.T) {
	c, err := Read(twoRecipes(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range c.Recipes {
		got = append(got, fmt.Sprintf("%s: %d seeds", p.Name, len(p.Runs)))
	}
	for _, e := range c.Equals {
		got = append(got, fmt.Sprintf("%s: %g", e.Axis, e.Budget))
		for _, row := range e.Rows {
			for _, cell := range row.Cells {
				got = append(got, fmt.Sprintf("  %s: %.4f ± %.4f of %d after %v", row.Measure, cell.Mean, cell.Half, cell.N, cell.Steps))
			}
			got = append(got, "  "+strings.ReplaceAll(row.Verdict, "\u00a0", " "))
		}
	}
	want := []string{
		"tiny-cpu, update.clip_high=0.28: 3 seeds", "tiny-cpu, update.clip_high=0.2: 3 seeds",
		"tokens generated: 1000",
		"  reward: 0.0800 ± 0.0248 of 3 after [10 10 10]", "  reward: -0.3200 ± 0.0248 of 3 after [3 3 3]",
		"  tiny-cpu, update.clip_high=0.28 is ahead of tiny-cpu, update.clip_high=0.2 (+0.400, 95 % interval +0.357 to +0.443)",
		"  right in training: 0.5400 ± 0.0124 of 3 after [10 10 10]", "  right in training: 0.3400 ± 0.0124 of 3 after [3 3 3]",
		"  tiny-cpu, update.clip_high=0.28 is ahead of tiny-cpu, update.clip_high=0.2 (+20 points, 95 % interval +17.8 to +22.2)",
		"  h: 0.6200 ± 0.0248 of 3 after [10 10 10]", "  h: 0.0000 ± 0.0000 of 0 after []",
		"  cannot be told: within this budget tiny-cpu, update.clip_high=0.2 was not measured",
		"FLOPs: 40000",
		"  reward: 0.0800 ± 0.0248 of 3 after [10 10 10]", "  reward: 0.6400 ± 0.0248 of 3 after [10 10 10]",
		"  tiny-cpu, update.clip_high=0.2 is ahead of tiny-cpu, update.clip_high=0.28 (+0.560, 95 % interval +0.517 to +0.603)",
		"  right in training: 0.5400 ± 0.0124 of 3 after [10 10 10]", "  right in training: 0.8200 ± 0.0124 of 3 after [10 10 10]",
		"  tiny-cpu, update.clip_high=0.2 is ahead of tiny-cpu, update.clip_high=0.28 (+28 points, 95 % interval +25.8 to +30.2)",
		"  h: 0.6200 ± 0.0248 of 3 after [10 10 10]", "  h: 0.9200 ± 0.0248 of 3 after [10 10 10]",
		"  tiny-cpu, update.clip_high=0.2 is ahead of tiny-cpu, update.clip_high=0.28 (+30 points, 95 % interval +25.7 to +34.3)",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	costs := c.Recipes[1].Runs[0].Costs
	if costs.Lost != (journal.Cost{FLOPsTrained: 3000}) || costs.All.FLOPsTrained != 33000 || costs.All.TokensGenerated != 2900 || costs.All.TokensValidated != 150 {
		t.Errorf("the costs of a run that did a step twice: %+v", costs)
	}
}

// What a step that no record has cost to sample is kept while the run may go on, and
// lost when it has ended.
func TestCostsOfStepsNotDoneAgain(t *testing.T) {
	sampled := journal.Cost{TokensGenerated: 100, ServerSeconds: 2}
	m := made{name: "short", steps: steps(0, 0, sampled)[:4], spent: []journal.Spent{
		{Step: 3, Why: journal.SpentRewound, Kept: true, Cost: sampled}, // in its record again
		{Step: 4, Why: journal.SpentRewound, Kept: true, Cost: sampled.Add(journal.Cost{TokensTrained: 9})},
		{Step: 4, Why: journal.SpentBroken, Cost: journal.Cost{ServerSeconds: 1}},
		{Step: 5, Why: journal.SpentRewound, Kept: true, Cost: sampled},
		{Step: 5, Why: journal.SpentAnew, Cost: sampled},
	}}
	dir := m.in(t, t.TempDir())
	four := journal.Cost{TokensGenerated: 400, ServerSeconds: 8}
	kept, lost := journal.Cost{TokensGenerated: 100, ServerSeconds: 3}, journal.Cost{TokensGenerated: 100, TokensTrained: 9, ServerSeconds: 2}
	for _, want := range []journal.Costs{
		{All: four.Add(kept).Add(lost), Lost: lost, Kept: kept},
		{All: four.Add(kept).Add(lost), Lost: lost.Add(kept)},
	} {
		r, _, err := read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, r.Costs); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		write(t, dir, "summary.json", []byte("{}")) // it has ended
	}
}

// What cannot be told is said, and why.
func TestVerdicts(t *testing.T) {
	each := journal.Cost{TokensGenerated: 100, FLOPsGenerated: 1000, FLOPsTrained: 3000, ServerSeconds: 1, TrainerSeconds: 1}
	other := func(c *config.Config) { c.Optimizer.LR *= 2 }
	of := func(change func(*config.Config), rewards ...float64) (all []made) {
		for i, r := range rewards {
			all = append(all, made{name: fmt.Sprintf("%t-%d", change != nil, i), seed: int64(i), change: change, steps: steps(r, 0, each)})
		}
		return all
	}
	for _, tc := range []struct {
		name string
		a, b []made
		want string
	}{
		{"one recipe", of(nil, 0.1, 0.2), nil, "one recipe"},
		{"one seed each", of(nil, 0.1), of(other, 0.9), "cannot be told: one seed of"},
		{"one seed of one", of(nil, 0.1, 0.2), of(other, 0.9), "cannot be told: one seed of"},
		{"overlapping", of(nil, 0.1, 0.5, 0.9), of(other, 0.2, 0.4, 0.95), "cannot be told: "},
		{"apart with every seed", of(nil, 0.1, 0.5, 0.9), of(other, 0.2, 0.61, 1), "is ahead of"},
		{"the same difference with every seed", of(nil, 0.25, 0.5, 0.75), of(other, 0.375, 0.625, 0.875), "with every seed, which shows no spread"},
		{"above in the mean, below with the seeds of both", of(nil, 0.5, 0.51, 0.9), of(other, 0.6, 0.6), "cannot be told: "},
		{"another reward", of(nil, 0.1, 0.2), of(func(c *config.Config) { c.Reward.OverlongBuffer = 8 }, 0.9, 0.8), "not compared: "},
		{"dynamic sampling", of(nil, 0.1, 0.2), of(func(c *config.Config) { c.Sampling.Dynamic = true }, 0.9, 0.8), "not compared: "},
	} {
		root := t.TempDir()
		var dirs []string
		for _, m := range append(tc.a, tc.b...) {
			dirs = append(dirs, m.in(t, root))
		}
		c, err := Read(dirs)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Equals[0].Rows[0].Verdict; !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// The differences' intervals by hand: with three seeds 4.303 standard errors of
// the pairs' differences; without common seeds Welch's.
func TestDifferences(t *testing.T) {
	for _, tc := range []struct {
		name       string
		a, b       map[int64]float64
		mean, half float64
	}{
		{"pairs", map[int64]float64{1: 1, 2: 2, 3: 3}, map[int64]float64{1: 0, 2: 0, 3: 1}, 5.0 / 3, 4.302653 * math.Sqrt(1.0/3) / math.Sqrt(3)},
		// Variances 1 and 4 of three each: se² = 5/3, freedom (5/3)² / ((1/9 + 16/9)/2) = 2.941, t = 3.2193.
		{"no common seed", map[int64]float64{1: 1, 2: 2, 3: 3}, map[int64]float64{4: 0, 5: 2, 6: 4}, 0, 3.2193 * math.Sqrt(5.0/3)},
		{"one seed", map[int64]float64{1: 1}, map[int64]float64{1: 0}, 1, math.NaN()},
	} {
		d := less(tc.a, tc.b)
		if math.Abs(d.Mean-tc.mean) > 1e-9 || math.IsNaN(d.Half) != math.IsNaN(tc.half) || math.Abs(d.Half-tc.half) > 2e-3 {
			t.Errorf("%s: %+v, by hand %g ± %g", tc.name, d, tc.mean, tc.half)
		}
	}
}

func TestDifferencesInWords(t *testing.T) {
	share, other := measure{share: true}, measure{}
	for _, tc := range []struct {
		m    measure
		x    float64
		want string
	}{
		{share, 0.123, "+12.3"}, {share, -0.123, "−12.3"}, {share, 0.0003, "+0.03"}, {share, -0.0003, "−0.03"}, {share, 1e-7, "0"}, {share, -1e-7, "0"}, {share, 0, "0"},
		{other, 1.5, "+1.50"}, {other, -1.5, "−1.50"}, {other, 0, "0"},
	} {
		if got := tc.m.difference(tc.x); got != tc.want {
			t.Errorf("%g: %q, want %q", tc.x, got, tc.want)
		}
	}
}

// A curve over tokens has its values where the tokens are, whatever the steps.
func TestCurvesOverABudget(t *testing.T) {
	c, err := Read(twoRecipes(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	f := c.figure(c.measures[0], axisAt("tokens"))
	narrow, wide := f.Curves[0], f.Curves[1]
	if narrow.X[0] != 100 || narrow.X[9] != 1000 || wide.X[0] != 300 || wide.X[9] != 3000 || f.XMax != 3000 || f.X != "tokens" {
		t.Errorf("from %g to %g and from %g to %g of %g %s", narrow.X[0], narrow.X[9], wide.X[0], wide.X[9], f.XMax, f.X)
	}
	if math.Abs(wide.Y[4]-0.16) > 1e-9 || math.Abs(wide.Upper[4]-wide.Y[4]-0.02484) > 1e-4 {
		t.Errorf("after 5 steps of 300 tokens: %g, up to %g", wide.Y[4], wide.Upper[4])
	}
	held := c.figure(c.measures[2], axisAt("flops")).Curves[1]
	if d := cmp.Diff([]float64{0, 20, 40}, held.X); held.Y[1] != 30 || d != "" { // thousands
		t.Errorf("measurements at %v: %v", held.X, held.Y)
	}
}

func TestNotes(t *testing.T) {
	root := t.TempDir()
	each := journal.Cost{TokensGenerated: 1, FLOPsGenerated: 1, FLOPsTrained: 1, ServerSeconds: 1, TrainerSeconds: 1}
	c, err := Read([]string{
		made{name: "a", seed: 1, steps: steps(0, 0, each)}.in(t, root),
		made{name: "b", seed: 1, steps: steps(0, 0, each)}.in(t, root),
		made{name: "old", seed: 2, steps: steps(0, 0, journal.Cost{})}.in(t, root),
	})
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(c.Notes, "\n")
	if len(c.Recipes) != 1 || len(c.Recipes[0].Runs) != 2 || !strings.Contains(notes, "same seed, 1") || !strings.Contains(notes, "older justrl") {
		t.Errorf("%d recipes; %s", len(c.Recipes), notes)
	}
	if e := c.Equals[0]; e.Rows != nil || !strings.Contains(e.Why, "old does not say") {
		t.Errorf("a run that does not say what it took: %+v", e)
	}
}

func TestFaults(t *testing.T) {
	root := t.TempDir()
	good := made{name: "good", seed: 1, steps: steps(0, 0, journal.Cost{})}
	for _, tc := range []struct {
		name  string
		spoil func(dir string) error
		want  string
	}{
		{"no-run", func(dir string) error { return os.Remove(filepath.Join(dir, "run.json")) }, "holds no run"},
		{"no-config", func(dir string) error { return os.Remove(filepath.Join(dir, "config.yaml")) }, "config.yaml"},
		{"no-yaml", func(dir string) error { return os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("{[:"), 0o644) }, "config.yaml"},
		{"steps", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "steps.jsonl"), []byte("{}\nx\n"), 0o644)
		}, "steps.jsonl:2"},
		{"spent", func(dir string) error { return os.WriteFile(filepath.Join(dir, "spent.jsonl"), []byte("x\n"), 0o644) }, "spent.jsonl:1"},
	} {
		good.name = tc.name
		dir := good.in(t, root)
		if err := tc.spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Read([]string{dir}); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", tc.name, err, tc.want)
		}
	}
	if _, err := Read([]string{filepath.Join(root, "nothing")}); !errors.Is(err, journal.ErrNotRun) {
		t.Errorf("no folder: %v", err)
	}
	good.name = "good"
	write(t, filepath.Join(root, "empty"), "run.json", []byte(`{}`))
	write(t, filepath.Join(root, "empty"), "config.yaml", nil)
	c, err := Read([]string{filepath.Join(root, "empty"), good.in(t, root)})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := errors.Join(c.WriteHTML(&b), c.WriteText(&b)); err != nil || strings.Contains(b.String(), "NaN") {
		t.Errorf("a run without a step: %v", err)
	}
}

// The page and the text of two recipes, byte for byte.
func TestGolden(t *testing.T) {
	root := t.TempDir()
	c, err := Read(twoRecipes(t, root))
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func(*bytes.Buffer) error{
		"page.html": func(b *bytes.Buffer) error { return c.WriteHTML(b) }, "text.txt": func(b *bytes.Buffer) error { return c.WriteText(b) },
	} {
		var b bytes.Buffer
		if err := do(&b); err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(b.String(), root, "/runs")
		if *update {
			write(t, "testdata", name, []byte(got))
		}
		want, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
			t.Errorf("%s (-want +got); run with -update if it was meant:\n%s", name, d)
		}
		if name == "page.html" {
			webpagetest.WellFormed(t, got, webpage.StyleSheet, nil)
		}
	}
}

// Names from a run's files are escaped.
func TestHostileNames(t *testing.T) {
	root := t.TempDir()
	m := made{name: "a<script>", seed: 1, steps: steps(0, 0, journal.Cost{TokensGenerated: 1}), change: func(c *config.Config) { c.Preset = "<script>x"; c.Model = "</style><b>" }}
	c, err := Read([]string{m.in(t, root), made{name: "b", seed: 2, steps: m.steps}.in(t, root)})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	webpagetest.WellFormed(t, b.String(), webpage.StyleSheet, nil)
}
