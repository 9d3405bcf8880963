package monitor

import (
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

const (
	onset  = 100 // step at which what goes wrong begins
	within = 20  // steps of it in which it is to be told
)

// failure is a signature with a change that is one and a change that is none.
type failure struct {
	name            string
	wrong, harmless func(since int, s *journal.Step, v *journal.Validation)
	runs            []string // that it can happen in; nil is both
}

// of changes the records of steps alone.
func of(change func(s *journal.Step, since int)) func(int, *journal.Step, *journal.Validation) {
	return func(since int, s *journal.Step, _ *journal.Validation) {
		if s != nil {
			change(s, since)
		}
	}
}

// texts sets a share of the texts to 0.6, or adds 0.08 to it.
func texts(name string, pick func(*journal.Texts) *float64) failure {
	return failure{
		name:     name,
		wrong:    of(func(s *journal.Step, _ int) { *pick(s.Texts) = 0.6 }),
		harmless: of(func(s *journal.Step, _ int) { *pick(s.Texts) += 0.08 }),
	}
}

func score(s *journal.Step, correct float64) { s.Correct, s.ScoreMean = correct, 2*correct-1 }

func failures() []failure {
	return []failure{
		{"reward_drop", of(func(s *journal.Step, _ int) { score(s, 0.3*s.Correct) }), of(func(s *journal.Step, _ int) { score(s, s.Correct-0.06) }), nil},
		{
			"entropy_collapse",
			of(func(s *journal.Step, since int) { s.Entropy *= max(0.1, math.Exp(-float64(since)/8)) }),
			of(func(s *journal.Step, since int) { // as a policy that learns something
				gone := 1 - max(0.3, math.Exp(-float64(since)/8))
				s.Entropy *= 1 - gone
				score(s, s.Correct+0.3*gone)
			}), nil,
		},
		{
			"heldout_fall",
			func(since int, s *journal.Step, v *journal.Validation) {
				if s != nil {
					score(s, s.Correct+0.05)
					return
				}
				for set := range v.Accuracy {
					v.Accuracy[set] = max(0, v.Accuracy[set]-0.25)
				}
			},
			func(since int, s *journal.Step, v *journal.Validation) { // the reward falls too
				if s != nil {
					score(s, s.Correct-0.15)
					return
				}
				for set := range v.Accuracy {
					v.Accuracy[set] = max(0, v.Accuracy[set]-0.25)
				}
			}, nil,
		},
		texts("no_reasoning", func(t *journal.Texts) *float64 { return &t.NoReasoning }),
		texts("boxed_only", func(t *journal.Texts) *float64 { return &t.BoxedOnly }),
		texts("many_boxes", func(t *journal.Texts) *float64 { return &t.ManyBoxes }),
		texts("one_answer", func(t *journal.Texts) *float64 { return &t.OneAnswer }),
		texts("copied", func(t *journal.Texts) *float64 { return &t.Copied }),
		texts("looping", func(t *journal.Texts) *float64 { return &t.Looping }),
		{
			"disagreement",
			of(func(s *journal.Step, _ int) {
				if s.Compared != nil {
					s.OnlyTraining = 30
				}
			}),
			of(func(s *journal.Step, _ int) {
				if s.Compared != nil {
					s.OnlyTraining = 3
				}
			}),
			[]string{"large"},
		},
		{
			"length_explosion",
			of(func(s *journal.Step, _ int) { s.ResponseMean *= 3 }),
			of(func(s *journal.Step, since int) { // as answers that become better
				gone := 1 - math.Exp(-float64(since)/8)
				s.ResponseMean *= 1 + 2*gone
				score(s, s.Correct+0.3*gone)
			}), nil,
		},
		{
			"length_collapse",
			of(func(s *journal.Step, _ int) { s.ResponseMean /= 4 }),
			of(func(s *journal.Step, _ int) { s.ResponseMean /= 1.5 }), nil,
		},
		{
			"truncated",
			of(func(s *journal.Step, _ int) { s.ResponseClip += 0.5 }),
			of(func(s *journal.Step, _ int) { s.ResponseClip += 0.08 }), nil,
		},
		{
			"equal_groups",
			of(func(s *journal.Step, _ int) { s.EqualRows = 0.97; score(s, 0.03) }),
			of(func(s *journal.Step, _ int) { s.EqualRows = 0.97; score(s, 0.97) }), nil,
		},
		{
			"mismatch_drift",
			of(func(s *journal.Step, _ int) { s.K3 = 1e-2 }),
			of(func(s *journal.Step, _ int) { s.K3 *= 2 }), nil,
		},
		{
			"gradient_spike",
			of(func(s *journal.Step, since int) {
				if since == 0 {
					s.Updates[1].GradNorm = 50
				}
			}),
			of(func(s *journal.Step, _ int) { s.Updates[1].GradNorm *= 2 }), nil,
		},
		{
			"verifier_errors",
			of(func(s *journal.Step, _ int) {
				s.Unscored = &journal.Unscored{Errors: int(0.04 * 2 * float64(s.Tokens)), Timeouts: int(0.02 * 2 * float64(s.Tokens))}
			}),
			of(func(s *journal.Step, _ int) { s.Unscored = &journal.Unscored{Timeouts: int(0.003 * float64(s.Tokens))} }), nil,
		},
		{
			"verifier_drift",
			of(func(s *journal.Step, _ int) {
				if s.Rescored != nil {
					s.Changed = 1
				}
			}),
			of(func(s *journal.Step, _ int) {
				if s.Rescored != nil {
					s.RescoreErrors = 9
				}
			}), nil,
		},
	}
}

// Each signature is told within 20 steps of its onset, once, and neither before
// it nor for a smaller change or one that a healthy run makes.
func TestEachFailureIsToldOnce(t *testing.T) {
	tiny, paper := preset(t, "tiny-cpu"), preset(t, config.DefaultPreset)
	paper.Validation.Every = 10 // a fall cannot be told before it is measured
	plateau := small(tiny, 2*onset)
	plateau.last = 0.6
	runs := map[string]run{"small": plateau, "large": large(paper, 2*onset)}
	for name, r := range runs {
		r.wander = 0.01 // more, and right answers become more by chance
		runs[name] = r
	}
	var names []string
	for _, f := range failures() {
		names = append(names, f.name)
		for _, name := range slices.Sorted(maps.Keys(runs)) {
			if f.runs != nil && !slices.Contains(f.runs, name) {
				continue
			}
			t.Run(f.name+"/"+name, func(t *testing.T) {
				r := runs[name]
				latest := 0
				for seed := range uint64(4) {
					told := toldOf(r, seed, f.name, f.wrong)
					if len(told) != 1 || told[0] < onset || told[0] > onset+within {
						t.Errorf("seed %d: told after steps %v, want once from %d to %d", seed, told, onset, onset+within)
						continue
					}
					latest = max(latest, told[0]-onset)
					if told := toldOf(r, seed, f.name, f.harmless); len(told) > 0 {
						t.Errorf("seed %d: of a harmless change told after steps %v", seed, told)
					}
				}
				t.Logf("at most %d steps after its onset", latest)
			})
		}
	}
	settings := slices.Sorted(maps.Keys(tiny.Monitor.Signatures()))
	if slices.Sort(names); !slices.Equal(names, settings) {
		t.Errorf("tested are %v, settings are there for %v", names, settings)
	}
}

// toldOf lists the steps after which a signature was told in a run with a change from onset on.
func toldOf(r run, seed uint64, name string, change func(int, *journal.Step, *journal.Validation)) (steps []int) {
	all := r.records(seed, func(s *journal.Step, v *journal.Validation) {
		switch {
		case s != nil && s.Step >= onset:
			s.Tokens = r.config.Sampling.Batch * r.config.Sampling.N // for those who count rollouts
			change(s.Step-onset, s, nil)
		case v != nil && v.Steps > onset:
			change(v.Steps-1-onset, nil, v)
		}
	})
	for _, e := range watched(r.config, all) {
		if e.Signature == name {
			steps = append(steps, e.Step)
		}
	}
	return steps
}
