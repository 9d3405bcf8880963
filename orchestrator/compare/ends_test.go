package compare

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

// recipe are made-up runs with these rewards in all steps, of seeds 1, 2, …; none
// where it is NaN. Held-out accuracy goes from 0.1 to half of the reward.
func recipe(name string, change func(*config.Config), rewards ...float64) (all []made) {
	each := journal.Cost{TokensGenerated: 100, TokensTrained: 100, FLOPsGenerated: 1000, FLOPsTrained: 3000, ServerSeconds: 1, TrainerSeconds: 1}
	for i, r := range rewards {
		if !math.IsNaN(r) {
			all = append(all, made{name: fmt.Sprintf("%s-%d", name, i+1), seed: int64(i + 1), change: change, steps: steps(r, 0, each), held: map[int]float64{0: 0.1, 10: r / 2}, heat: 0.5})
		}
	}
	return all
}

// named writes runs into their folders, which are those of one recipe.
func named(t *testing.T, root, recipe string, runs []made) (all []Named) {
	for _, m := range runs {
		all = append(all, Named{recipe, m.in(t, root)})
	}
	return all
}

func (p *Recipe) find(name string) *Measure {
	i := slices.IndexFunc(p.Measures, func(m Measure) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &p.Measures[i]
}

// Against numbers made by hand, with Student's 0.975 quantiles from a printed table.
func TestEnds(t *testing.T) {
	root := t.TempDir()
	other := func(c *config.Config) { c.Optimizer.LR *= 2 }
	nan := math.NaN()
	var runs []Named
	for _, r := range []struct {
		name   string
		change func(*config.Config)
		of     []float64
	}{
		{"plain", nil, []float64{0.5, 0.6, 0.7}},
		{"same", other, []float64{0.51, 0.58, 0.71}},
		{"better", other, []float64{0.8, 0.91}},
		{"worse", other, []float64{nan, nan, nan, 0.1, 0.12, 0.14}}, // no seed in common
		{"single", other, []float64{0.9}},
		{"punished", func(c *config.Config) { c.Reward.OverlongBuffer = 8 }, []float64{0.1, 0.22, 0.28}},
	} {
		all := named(t, root, r.name, recipe(r.name, r.change, r.of...))
		slices.Reverse(all) // pairs are by seed, whatever the order
		runs = append(runs, all...)
	}
	c, err := ReadNamed(runs)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Recipes) != 6 || c.Recipes[1].Name != "same" || len(c.Recipes[2].Differs) != 1 {
		t.Fatalf("%d recipes: %+v", len(c.Recipes), c.Recipes)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-6 }
	set := c.Recipes[0].find("h")
	if set.Last.N != 3 || !near(set.Last.Mean, 0.3) || !near(set.Last.SD, 0.05) || !near(set.Last.Half, 4.302653*0.05/math.Sqrt(3)) || !near(set.First.Mean, 0.1) || set.First.Half != 0 || set.Difference != nil {
		t.Errorf("%+v", set)
	}
	if s := c.Recipes[0].find("h, sampled"); !near(s.Last.Mean, 0.15) || !near(s.First.Mean, 0.05) {
		t.Errorf("sampled: %+v", s)
	}
	if s := c.Recipes[0].find("entropy"); !near(s.First.Mean, 0.5) || !near(s.Last.Mean, (0.5/6+0.5/7+0.5/8+0.5/9+0.5/10)/5) {
		t.Errorf("first and last steps: %+v", s)
	}
	for _, tc := range []struct {
		recipe, n        int
		mean, half       float64
		reward, accuracy string
	}{
		// Seed by seed: 0.01, −0.02, 0.01.
		{1, 3, 0, 4.302653 * math.Sqrt(0.0003) / math.Sqrt(3), "same cannot be told from plain (0.000, 95 % interval −0.043 to +0.043)", "same cannot be told from plain (0 points, 95 % interval −2.2 to +2.2)"},
		// Two seeds are common: 0.30 and 0.31.
		{2, 2, 0.305, 12.706205 * 0.005, "better is above plain (+0.305, 95 % interval +0.241 to +0.369)", "better is above plain (+15.3 points, 95 % interval +12.1 to +18.4)"},
		// Welch: variances 0.01 and 0.0004 of three each, 2.1596 degrees of freedom, t = 4.0129.
		{3, 3, -0.48, 4.0129 * math.Sqrt(0.0104/3), "worse is below plain (−0.480, 95 % interval −0.716 to −0.244)", "worse is below plain (−24 points, 95 % interval −35.8 to −12.2)"},
		{4, 0, 0, 0, "cannot be told: one seed of single shows no spread", "cannot be told: one seed of single shows no spread"},
		{5, 0, 0, 0, "punished and plain are not compared: they do not reward the same", "punished is below plain (−20 points, 95 % interval −22.5 to −17.5)"},
	} {
		p := c.Recipes[tc.recipe]
		m, held := p.find("reward"), p.find("h")
		if d := m.Difference; (d == nil) != (tc.n == 0) || d != nil && (d.N != tc.n || !near(d.Mean, tc.mean) || math.Abs(d.Half-tc.half) > 2e-4) {
			t.Errorf("%s: %+v, by hand %g ± %g", p.Name, d, tc.mean, tc.half)
		}
		for _, v := range [][2]string{{m.Verdict, tc.reward}, {held.Verdict, tc.accuracy}} {
			if got := strings.ReplaceAll(strings.ReplaceAll(v[0], "+0.000", "0.000"), "\u00a0", " "); !strings.HasPrefix(got, v[1]) {
				t.Errorf("%s: %q, want %q", p.Name, got, v[1])
			}
		}
	}
	if _, err := json.Marshal(c); err != nil { // a difference of one seed has no number for its interval
		t.Error(err)
	}
}

// What earlier versions wrote into a sweep's results.json is still there, under the
// same names and in the same units.
func TestResultsAsBefore(t *testing.T) {
	root := t.TempDir()
	runs := recipe("a", nil, 0.5, 0.6)
	runs[0].summary = &journal.Summary{Steps: 10, WallS: 77}
	runs[0].steps[0].Drawn = &journal.Drawn{ResponseTokens: 400, CorrectShare: 0.25}
	for i := range runs[0].steps {
		runs[0].steps[i].Tokens, runs[0].steps[i].PromptMean, runs[0].steps[i].ResponseMean = 150, 5, 10
	}
	c, err := ReadNamed(append(named(t, root, "a", runs), named(t, root, "b", recipe("b", nil, 0.6, 0.8))...))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	type stat struct {
		N    int     `json:"n"`
		Mean float64 `json:"mean"`
		SD   float64 `json:"sd"`
		Half float64 `json:"half_95"`
	}
	var got struct {
		Recipes []struct {
			Name string `json:"name"`
			Runs []struct {
				Seed    int64   `json:"seed"`
				Dir     string  `json:"dir"`
				Steps   int     `json:"steps"`
				Tokens  int64   `json:"response_tokens"`
				Trained int64   `json:"trained_tokens"`
				Seconds float64 `json:"wall_s"`
				SHA256  string  `json:"weights_sha256"`
			} `json:"runs"`
			Measures []struct {
				Name       string `json:"name"`
				First      stat   `json:"first"`
				Last       stat   `json:"last"`
				Difference *stat  `json:"difference"`
			} `json:"measures"`
		} `json:"recipes"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	run := got.Recipes[0].Runs[0]
	if run.Seed != 1 || run.Dir == "" || run.Steps != 10 || run.Tokens != 400+9*100 || run.Trained != 1500 || run.Seconds != 77 || run.SHA256 != fmt.Sprintf("%064x", 9) {
		t.Errorf("%+v", run)
	}
	var names []string
	for _, m := range got.Recipes[1].Measures {
		names = append(names, m.Name)
		if m.Last.N != 2 || m.Name == "h" && (math.Abs(m.Last.Mean-0.35) > 1e-9 || m.Difference == nil || math.Abs(m.Difference.Mean-0.075) > 1e-9 || m.Difference.Half < 0.1) {
			t.Errorf("%+v", m)
		}
	}
	if d := cmp.Diff([]string{"reward", "right in training", "h", "h, sampled", "response length", "cut off", "entropy"}, names); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A run that went on as another experiment is of another recipe than one that was
// it from the beginning, though both end with the same configuration; and of the
// same as one of another seed that did the same.
func TestStages(t *testing.T) {
	root := t.TempDir()
	staged := func(runs []made, step int) []made {
		for i := range runs {
			stage := journal.Resume{NextStep: step, Recipe: []string{"sampling.max_tokens is 96, was 32", "reward.overlong_buffer is 8, was 0"}}
			runs[i].name += fmt.Sprintf("-from-%d", step)
			runs[i].resumes = []journal.Resume{{NextStep: 1, Changed: []string{"trainer.threads is 2, was 1"}}, stage, stage} // one was broken off
			if i == 1 {                                                                                                       // it fell back to where the others changed
				stage.NextStep += 2
				runs[i].resumes = []journal.Resume{stage, {NextStep: step}}
			}
		}
		return runs
	}
	var dirs []string
	for _, m := range slices.Concat(recipe("a", nil, 0.5, 0.6), staged(recipe("b", nil, 0.7, 0.8), 3), staged(recipe("c", nil, 0.7, 0.8), 4)) {
		dirs = append(dirs, m.in(t, root))
	}
	c, err := Read(dirs)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range c.Recipes {
		got = append(got, fmt.Sprintf("%s: %d%v", p.Name, len(p.Runs), p.Differs))
	}
	want := []string{
		"tiny-cpu: 2[]",
		"tiny-cpu, sampling.max_tokens=96 from step 4, reward.overlong_buffer=8 from step 4: 2[from step 4: sampling.max_tokens is 96, was 32, reward.overlong_buffer is 8, was 0]",
		"tiny-cpu, sampling.max_tokens=96 from step 5, reward.overlong_buffer=8 from step 5: 2[from step 5: sampling.max_tokens is 96, was 32, reward.overlong_buffer is 8, was 0]",
	}
	if d := cmp.Diff(want, got); d != "" || c.Notes != nil {
		t.Errorf("%q (-want +got):\n%s", c.Notes, d)
	}
	if v := c.Equals[0].Rows[0].Verdict; !strings.Contains(v, "do not reward the same") {
		t.Errorf("the rewards were others on the way: %q", v)
	}
}

// Runs of a budget end after different numbers of steps: their last measurements are
// taken together, at the mean of what they had taken, after those of equal steps.
func TestCurvesEndTogether(t *testing.T) {
	root := t.TempDir()
	runs := recipe("a", nil, 0.5, 0.6)
	runs[0].held = map[int]float64{0: 0.1, 5: 0.2, 8: 0.5}
	runs[1].held = map[int]float64{0: 0.3, 5: 0.4, 10: 0.7}
	c, err := ReadNamed(named(t, root, "a", runs))
	if err != nil {
		t.Fatal(err)
	}
	f, ok := c.Curve()
	if !ok || f.ID != "tokens-heldout1-sampled" || f.X != "tokens" {
		t.Fatalf("the curve to show elsewhere: %t, %s over %s", ok, f.ID, f.X)
	}
	curve := f.Curves[0]
	if d := cmp.Diff([]float64{0, 500, 900}, curve.X); d != "" || fmt.Sprintf("%.3f", curve.Y) != "[10.000 15.000 30.000]" {
		t.Errorf("%v %v", curve.X, curve.Y)
	}
	svg, err := f.SVG()
	if err != nil || !strings.Contains(svg, "fill-band1") {
		t.Errorf("%v\n%.300s", err, svg)
	}
	if f, ok := (&Comparison{}).Curve(); ok {
		t.Errorf("of nothing: %+v", f)
	}
}
