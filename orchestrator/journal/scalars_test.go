package journal

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/updater"
)

// A step's figures are the numbers of its line in steps.jsonl, and nothing else of it.
func TestScalarsOfAStep(t *testing.T) {
	s := Step{
		Step: 7, WeightsVersion: 9, ScoreMean: -0.5, Dropped: 3, Total: 1.5, Ended: time.Unix(1, 0),
		Drawn:   &Drawn{Groups: 64},
		Updates: []updater.UpdateMetrics{{PGLoss: 4}}, Canary: bridge.Report{Version: 9, Servers: []bridge.ServerReport{{Tokens: 5}}},
		Servers: []ServerPart{{Tokens: 6}},
	}
	s.PGLoss, s.WorstGroup, s.RatioP50 = 0.25, 77, 1.01
	got := map[string]float64{}
	last := ""
	for _, one := range s.Scalars() {
		if one.Name <= last {
			t.Errorf("%s comes after %s", one.Name, last)
		}
		last = one.Name
		got[one.Name] = one.Value
	}
	for name, want := range map[string]float64{
		"critic/score/mean": -0.5, "actor/pg_loss": 0.25, "data/dropped": 3, "timing_s/step": 1.5, "sampling/groups_drawn": 64,
		"weights_version": 9, "mismatch/ratio_p50": 1.01, "response_length/mean": 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %g, %t, want %g", name, v, ok, want)
		}
	}
	for _, name := range []string{"step", "updates", "canary", "perf/servers", "perf/ended", "weights_sha256", "mismatch/worst_group", "reward/overlong"} {
		if _, ok := got[name]; ok {
			t.Errorf("%s is no figure of the step", name)
		}
	}
	// encoding/json agrees on what the numbers of the record are.
	b, err := json.Marshal(s)
	var fields map[string]any
	if err := errors.Join(err, json.Unmarshal(b, &fields)); err != nil {
		t.Fatal(err)
	}
	for name, v := range fields {
		if x, ok := v.(float64); ok && !slices.Contains(notScalars, name) && got[name] != x {
			t.Errorf("%s is %g in the record, %g among the figures", name, x, got[name])
		} else if ok {
			delete(got, name)
		}
	}
	if len(got) > 0 {
		t.Errorf("figures that are not in the record: %v", got)
	}
	s.PGLoss = math.NaN()
	if slices.ContainsFunc(s.Scalars(), func(one Scalar) bool { return one.Name == "actor/pg_loss" }) {
		t.Error("what is no number is a figure")
	}
}

func TestScalarsOfAValidation(t *testing.T) {
	v := Validation{Accuracy: map[string]float64{"b": 0.5, "a": 0}, Sampled: map[string]float64{"b": 0.25}, Unscored: map[string]int{"a": 2}, Seconds: 3}
	want := []Scalar{{"timing_s/validate", 3}, {"validation/a", 0}, {"validation/a/unscored", 2}, {"validation/b", 0.5}, {"validation/b/sampled", 0.25}}
	if d := cmp.Diff(want, v.Scalars()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Runs that do not say when their steps ended are laid end to end.
func TestClock(t *testing.T) {
	began, said := time.Unix(1000, 0), time.Unix(5000, 0)
	c := Clock{Started: began}
	for _, step := range []struct {
		s    Step
		want time.Time
	}{
		{Step{Total: 2}, began.Add(2 * time.Second)},
		{Step{Total: 1.5}, began.Add(3500 * time.Millisecond)},
		{Step{Total: 1, Ended: said}, said},
		{Step{Total: 0.5}, began.Add(5 * time.Second)},
	} {
		if got := c.At(step.s); !got.Equal(step.want) {
			t.Errorf("%v ended at %v, want %v", step.s.Total, got, step.want)
		}
	}
}
