package metrics

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/generations"
)

func correct(pattern ...bool) (a []Answer) {
	for _, c := range pattern {
		a = append(a, Answer{Correct: c, By: benchmarks.ByRule, Boxed: true})
	}
	return a
}

func TestComputeByHand(t *testing.T) {
	problems := []Problem{
		{ID: 0, Distinct4: 0.5, Answers: []Answer{
			{Correct: true, By: benchmarks.ByRule, Vote: "a", Boxed: true, Tokens: 10, Characters: 30, FinishReason: "stop"},
			{Correct: true, By: benchmarks.ByJudge, Judgement: "A", Vote: "a", Boxed: true, Tokens: 30, Characters: 90, FinishReason: "length"},
		}},
		{ID: 4, Distinct4: 0.25, Answers: []Answer{
			{By: benchmarks.ByJudge, Judgement: "C", Characters: 5},
			{By: benchmarks.ByRule, Failed: true, TimedOut: true, Vote: "b", Boxed: true, Tokens: 20, Characters: 7, FinishReason: "stop"},
		}},
		{ID: 5, Distinct4: 0, Answers: []Answer{
			{By: benchmarks.ByJudge, Judgement: "?", Vote: "b", Boxed: true, Failed: true},
			{Correct: true, By: benchmarks.ByRule, Vote: "a", Boxed: true},
			{By: benchmarks.ByJudge, Judgement: "B", Vote: "b", Boxed: true},
		}},
	}
	r, err := Compute(problems, 1)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mean_score", r.MeanScore, (1+0+1./3)/3, 1e-15)
	near(t, "best_score", r.BestScore, 2./3, 1e-15)
	near(t, "distinct_4gram", r.Distinct4Gram, 0.25, 1e-15)
	near(t, "avg_output_length", r.AvgOutputLength, 20, 1e-15)
	near(t, "truncated", *r.Truncated, 1./3, 1e-15)
	near(t, "pass@1", r.PassAtK[0].Mean, r.MeanScore, 1e-15)
	near(t, "pass@2", r.PassAtK[1].Mean, (1+0+2./3)/3, 1e-15)
	near(t, "majority@1", r.MajorityAtK[0].Mean, r.MeanScore, 1e-15)
	near(t, "majority@2", r.MajorityAtK[1].Mean, (1+0+(2./3*.5))/3, 1e-15)
	if len(r.PassAtK) != 2 || len(r.MajorityAtK) != 2 || r.PassAtK[1].K != 2 {
		t.Errorf("%+v, %+v", r.PassAtK, r.MajorityAtK)
	}
	counts := map[string]int{"solve_none": r.SolveNone, "solve_all": r.SolveAll, "format errors": r.FormatErrorRollouts,
		"problems": r.Problems, "answers": r.Answers, "fewest": r.SamplesMin, "most": r.SamplesMax}
	want := map[string]int{"solve_none": 1, "solve_all": 1, "format errors": 1, "problems": 3, "answers": 7, "fewest": 2, "most": 3}
	if d := cmp.Diff(want, counts); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff(Verdicts{RuleCorrect: 2, JudgeCorrect: 1, Judged: 4, Judgements: map[string]int{"A": 1, "B": 1, "C": 1, "?": 1}, Errors: 2, Timeouts: 1}, r.Verdicts); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff(&Lengths{Known: 3, Mean: 20, Min: 10, P10: 10, Median: 20, P90: 30, P99: 30, Max: 30}, r.Tokens); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestComputeWithoutTokensOrEnds(t *testing.T) {
	r, err := Compute([]Problem{{Answers: correct(true, false)}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if r.Truncated != nil || r.Tokens != nil || r.AvgOutputLength != 0 {
		t.Errorf("lengths from nowhere: %+v", r)
	}
	if r.MeanScore95 != (Interval{0.5, 0.5}) {
		t.Errorf("the interval of a single problem is %v", r.MeanScore95)
	}
	for _, none := range [][]Problem{nil, {{ID: 3}}} {
		if _, err := Compute(none, 1); err == nil {
			t.Error("figures of nothing")
		}
	}
}

func TestManySamples(t *testing.T) {
	answers := make([]Answer, 100)
	answers[3].Correct = true
	r, err := Compute([]Problem{{Answers: answers}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var ks []int
	for _, p := range r.PassAtK {
		ks = append(ks, p.K)
	}
	if d := cmp.Diff([]int{1, 2, 4, 8, 16, 32, 64, 100}, ks); d != "" || len(r.MajorityAtK) != len(ks) || r.MajoritySE != 0 {
		t.Errorf("(-want +got):\n%s\n%v", d, r.MajorityAtK)
	}
	near(t, "pass@64", r.PassAtK[6].Mean, 0.64, 1e-12)
}

func TestQuantilesAreNumpys(t *testing.T) {
	o := readOracle(t)
	l := lengths(o.Lengths)
	if d := cmp.Diff(o.Quantiles, []int{l.P10, l.Median, l.P90, l.P99}); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The figures of the authors' program on three files (../shared/kits, kit 4),
// its verdicts given.
func TestKit(t *testing.T) {
	kit := filepath.Join("..", "..", "..", "shared", "kits", "kit4")
	b, err := os.ReadFile(filepath.Join(kit, "expected.json"))
	if err != nil {
		t.Skipf("SKIPPED: the reference kit is not here: %v", err)
	}
	var files []struct {
		File     string
		Verdicts map[string][]bool `json:"rule_verdicts_in_file_order"`
		Results
	}
	if err := json.Unmarshal(b, &files); err != nil {
		t.Fatal(err)
	}
	for _, want := range files {
		x, err := generations.OpenIndex(filepath.Join(kit, want.File))
		if err != nil {
			t.Fatal(err)
		}
		var problems []Problem
		var d Distinct
		for _, p := range x.Problems {
			d.Reset()
			row := Problem{ID: p.ID}
			for i, s := range p.Samples {
				g, err := x.Read(p, s)
				if err != nil {
					t.Fatal(err)
				}
				d.Add(g.Response)
				row.Answers = append(row.Answers, NewAnswer(g, benchmarks.Verdict{Correct: want.Verdicts[strconv.Itoa(p.ID)][i], By: benchmarks.ByRule}))
			}
			row.Distinct4 = d.Share()
			problems = append(problems, row)
		}
		got, err := Compute(problems, 1)
		if err != nil {
			t.Fatal(err)
		}
		near(t, want.File+" mean_score", got.MeanScore, want.MeanScore, 1e-9)
		near(t, want.File+" distinct_4gram", got.Distinct4Gram, want.Distinct4Gram, 1e-9)
		near(t, want.File+" best_score", got.BestScore, want.BestScore, 1e-9)
		near(t, want.File+" avg_output_length", got.AvgOutputLength, want.AvgOutputLength, 1e-9)
		if a, b := [3]int{got.SolveNone, got.SolveAll, got.FormatErrorRollouts}, [3]int{want.SolveNone, want.SolveAll, want.FormatErrorRollouts}; a != b {
			t.Errorf("%s: solve_none, solve_all, format errors %v, want %v", want.File, a, b)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(files) != 3 {
		t.Errorf("%d files", len(files))
	}
}

// What is written is read again, in the order of the authors' file.
func TestResultsAsJSON(t *testing.T) {
	r, err := Compute([]Problem{{Answers: correct(true, false)}, {ID: 1, Answers: correct(true, true)}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	const first = `{"mean_score":0.75,"distinct_4gram":0,"best_score":1,"solve_none":0,"solve_all":1,"avg_output_length":0,"format_error_rollouts":0,"problems":2,`
	if !bytes.HasPrefix(b, []byte(first)) {
		t.Errorf("%s", b)
	}
	var again Results
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, again); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestBreakdown(t *testing.T) {
	problems := []Problem{
		{ID: 0, Answers: correct(true, false)}, {ID: 1, Answers: correct(true, true)}, {ID: 2, Answers: correct(false, false, false)}, {ID: 7, Answers: correct(true)},
	}
	levels := map[int]string{0: "b", 1: "a", 2: "b"}
	got := Breakdown(problems, func(id int) (string, bool) { k, ok := levels[id]; return k, ok }, 1)
	want := []Part{
		{Key: "a", Problems: 1, Answers: 2, MeanScore: 1, In95: Interval{1, 1}, BestScore: 1},
		{Key: "b", Problems: 2, Answers: 5, MeanScore: 0.25, In95: Interval{0, 0.5}, BestScore: 0.5},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestDifficulty(t *testing.T) {
	for rate, want := range map[float64]string{0: "0", 0.01: "0-0.25", 0.25: "0-0.25", 0.5: "0.25-0.5", 0.6: "0.5-0.75", 31. / 32: "0.75-1", 1: "1"} {
		if got, ok := Difficulty(map[int]float64{3: rate})(3); got != want || !ok {
			t.Errorf("%v: %q %t, want %q", rate, got, ok, want)
		}
	}
	if _, ok := Difficulty(nil)(3); ok {
		t.Error("a problem that the reference lacks has a difficulty")
	}
	if d := cmp.Diff(map[int]float64{4: 0.5}, SolveRates([]Problem{{ID: 4, Answers: correct(true, false)}})); d != "" {
		t.Error(d)
	}
}
