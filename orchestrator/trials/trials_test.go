package trials

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/orchestrator/journal"
)

// aRun leaves the records of one that ended after so many steps.
func aRun(t *testing.T, recipe string, seed int64, steps int, accuracy, reward float64) Run {
	t.Helper()
	dir := filepath.Join(t.TempDir(), fmt.Sprintf("%s-%d", recipe, seed))
	d, err := journal.Create(dir, journal.Info{ID: "x", Seed: seed}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range steps {
		s := journal.Step{Step: i, ScoreMean: reward, ResponseMean: 10, PromptMean: 5, Tokens: 150}
		if i < steps-LastSteps {
			s.ScoreMean = -1
		}
		if recipe == "dynamic" {
			s.Drawn = &journal.Drawn{ResponseTokens: 400, CorrectShare: 0.25}
		}
		err = d.AppendStep(s)
	}
	for _, at := range []int{0, steps} {
		if err == nil {
			err = d.AppendValidation(journal.Validation{Steps: at, Accuracy: map[string]float64{"set": accuracy * float64(at) / float64(max(steps, 1))}})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return Run{Recipe: recipe, Seed: seed, Dir: dir}
}

func three(t *testing.T) *Results {
	t.Helper()
	r, err := Read([]Run{
		aRun(t, "plain", 1, 10, 0.50, 0.1), aRun(t, "plain", 2, 10, 0.60, 0.2), aRun(t, "plain", 3, 10, 0.70, 0.3),
		aRun(t, "same", 3, 10, 0.71, 0.3), aRun(t, "same", 1, 8, 0.51, 0.1), aRun(t, "same", 2, 9, 0.58, 0.2),
		aRun(t, "dynamic", 1, 6, 0.80, 0.5), aRun(t, "dynamic", 2, 7, 0.91, 0.6), aRun(t, "dynamic", 9, 7, 0, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

// Against numbers made by hand, with Student's 0.975 quantiles from a printed table.
func TestMeasures(t *testing.T) {
	r := three(t)
	if len(r.Recipes) != 3 {
		t.Fatalf("%d recipes", len(r.Recipes))
	}
	set := r.Recipes[0].find("set")
	if set.Last.N != 3 || !near(set.Last.Mean, 0.6) || !near(set.Last.SD, 0.1) || math.Abs(set.Last.Half-4.302653*0.1/math.Sqrt(3)) > 1e-6 || set.First.Mean != 0 || set.Difference != nil {
		t.Errorf("%+v", set)
	}
	// Seed by seed: 0.01, −0.02, 0.01, whatever the order of the runs.
	same := r.Recipes[1].find("set").Difference
	if same.N != 3 || !near(same.Mean, 0) || !near(same.SD, math.Sqrt(0.0003)) || same.Told() {
		t.Errorf("%+v", same)
	}
	// Two seeds are common: 0.30 and 0.31.
	dynamic := r.Recipes[2].find("set").Difference
	if dynamic.N != 2 || !near(dynamic.Mean, 0.305) || math.Abs(dynamic.Half-12.706205*0.005) > 1e-6 || !dynamic.Told() {
		t.Errorf("%+v", dynamic)
	}
	if reward := r.Recipes[0].find("reward"); reward.First.Mean != -1 || !near(reward.Last.Mean, 0.2) {
		t.Errorf("the last steps are not the last: %+v", reward)
	}
	if right := r.Recipes[2].find("right in training"); !near(right.Last.Mean, 0.25) {
		t.Errorf("of all that was drawn: %+v", right)
	}
	run := r.Recipes[2].Runs[0]
	if run.Tokens != 6*400 || run.Trained != 6*150 || run.Steps != 6 {
		t.Errorf("%+v", run)
	}
	if one := statOf([]float64{3}); one != (Stat{N: 1, Mean: 3}) || one.Told() {
		t.Errorf("%+v", one)
	}
}

func TestText(t *testing.T) {
	var b bytes.Buffer
	if err := three(t).Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"0.0 ± 0.0 % → 60.0 ± 10.0 %", "−1.000 ± 0.000 → 0.200 ± 0.100", "set: same cannot be told from plain's (difference 0.0 ± 4.3 points)",
		"set: dynamic is above plain by 30.5 ± 6.4 points", "reward: dynamic is above plain by 0.400 ± 0.000",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

// Seeds that ended at different steps are taken together as far as all go, and
// their ends with one another.
func TestCurves(t *testing.T) {
	c := curve("x", 0, []series{
		{[]float64{0, 5, 8}, []float64{0, 50, 80}, []float64{1, 2, 5}},
		{[]float64{0, 5, 10, 12}, []float64{0, 70, 90, 120}, []float64{3, 4, 9, 7}},
	}, true)
	if fmt.Sprint(c.X, c.Y, c.Lower, c.Upper) != "[0 60 100] [2 3 6] [1 2 5] [3 4 7]" {
		t.Errorf("%+v", c)
	}
	if c := curve("x", 0, nil, false); c.First() >= 0 {
		t.Errorf("%+v", c)
	}
	figures := three(t).Figures()
	if figures[0].ID != "heldout-set-steps" || figures[1].ID != "heldout-set-tokens" || len(figures[1].Curves) != 3 || figures[1].XMax != 2*1000+800 && figures[1].XMax < 1000 {
		t.Errorf("%+v", figures[1])
	}
	svg, err := figures[1].SVG()
	if err != nil || !strings.Contains(svg, ">dynamic</text>") || !strings.Contains(svg, "fill-band3") {
		t.Errorf("%v\n%s", err, svg)
	}
}

func TestPage(t *testing.T) {
	var b bytes.Buffer
	r := three(t)
	r.Recipes[1].Name = "<script>x</script>"
	if err := r.Page(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	if strings.Contains(page, "<script>") || strings.Count(page, "<figure") < 8 || !strings.Contains(page, "30.5 ± 6.4 points") || strings.Count(page, "<tr>") != 2+3+9 {
		t.Errorf("%d figures, %d rows", strings.Count(page, "<figure"), strings.Count(page, "<tr>"))
	}
}

func TestReadRefuses(t *testing.T) {
	if _, err := Read([]Run{{Recipe: "x", Dir: t.TempDir()}}); err == nil || !strings.Contains(err.Error(), "no run") {
		t.Errorf("an empty folder: %v", err)
	}
	empty := aRun(t, "x", 1, 0, 0, 0)
	if _, err := Read([]Run{empty}); err == nil || !strings.Contains(err.Error(), "steps.jsonl") {
		t.Errorf("a run without steps: %v", err)
	}
}
