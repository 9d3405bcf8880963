package monitor

import (
	"maps"
	"slices"
	"testing"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

// staged is a run whose recipe changes at border: answers may become three times as
// long, more of them are cut off, the reward is another one, updates are larger.
// From later on something goes wrong in it.
func staged(seed uint64, r run, border, later int, wrong func(since int, s *journal.Step, v *journal.Validation)) []told {
	return r.records(seed, func(s *journal.Step, v *journal.Validation) {
		switch {
		case s != nil && s.Step >= later:
			s.Tokens = r.config.Sampling.Batch * r.config.Sampling.N // for those who count rollouts
			wrong(s.Step-later, s, nil)
		case v != nil && v.Steps > later:
			wrong(v.Steps-1-later, nil, v)
		}
		if s != nil && s.Step >= border {
			s.ResponseMean *= 3
			s.ResponseClip += 0.4
			s.ScoreMean -= 0.6
			s.K3 *= 20
			for i := range s.Updates {
				s.Updates[i].GradNorm *= 30
			}
		}
	})
}

// watchedStages are the events of a run that says where its recipe changes; 0 says it nowhere.
func watchedStages(c config.Config, all []told, border int) (events []journal.Event) {
	m := New(c)
	for _, r := range all {
		if r.step != nil {
			if border > 0 && r.step.Step == border {
				m.Changed()
			}
			events = append(events, m.Step(*r.step)...)
		} else {
			events = append(events, m.Validated(*r.valid)...)
		}
	}
	return events
}

// A stage's border is no failure, and what goes wrong after it is told as soon as in
// a run of one stage.
func TestStages(t *testing.T) {
	const border, later, steps = 60, 100, 130
	c := preset(t, "tiny-cpu")
	r := small(c, steps)
	r.last, r.wander, r.k3 = 0.6, 0.01, 1e-4
	nothing := func(int, *journal.Step, *journal.Validation) {}
	for seed := range uint64(10) {
		healthy := staged(seed, r, border, steps+1, nothing)
		for _, e := range watchedStages(c, healthy, border) {
			t.Errorf("seed %d: %s at step %d: %s", seed, e.Signature, e.Step, e.Message)
		}
		false_ := map[string]bool{} // alarms of a monitor that is not told
		for _, e := range watchedStages(c, healthy, 0) {
			false_[e.Signature] = true
		}
		for _, name := range []string{"reward_drop", "length_explosion", "truncated", "mismatch_drift", "gradient_spike"} {
			if !false_[name] {
				t.Errorf("seed %d: without the change being told there is no %s, but %v", seed, name, slices.Sorted(maps.Keys(false_)))
			}
		}
	}
	for _, f := range failures() {
		if f.runs != nil && !slices.Contains(f.runs, "small") {
			continue
		}
		events := watchedStages(c, staged(1, r, border, later, f.wrong), border)
		i := slices.IndexFunc(events, func(e journal.Event) bool { return e.Signature == f.name })
		if i < 0 || events[i].Step < later-1 || events[i].Step > later+within {
			t.Errorf("%s in the second stage is not told within %d steps: %+v", f.name, within, events)
		}
	}
}
