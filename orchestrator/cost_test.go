package orchestrator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater"
)

// busy are Servers that take a second over each answer drawn for training.
type busy struct {
	events
	w     *world
	asked int
}

func (b *busy) Asked() []journal.ServerPart {
	n := 0
	for _, times := range b.w.asked {
		n += times
	}
	defer func() { b.asked = n }()
	return []journal.ServerPart{{Server: "a", Seconds: float64(n - b.asked)}}
}

// By hand: a step draws 2 rows of 3 answers of 2 tokens behind a prompt of 1,
// which is a forward pass of 292 operations (204 + 48 + 2·20, internal/flops); they
// are one mini-batch of 3 passes. A validation draws 5 such answers. The clock goes
// on by a second whenever it is asked, and that is the time of an update.
var (
	stepCost  = journal.Cost{TokensGenerated: 12, TokensTrained: 2, FLOPsGenerated: 6 * 292, FLOPsTrained: 3 * 6 * 292, ServerSeconds: 6, TrainerSeconds: 1}
	validCost = journal.Cost{TokensValidated: 10, FLOPsValidated: 5 * 292}
)

func times(n int, c journal.Cost) (sum journal.Cost) {
	for range n {
		sum = sum.Add(c)
	}
	return sum
}

// However a run is stopped, its records say what its steps cost as if nothing had
// happened, and the summary what the work took that was for nothing.
func TestWhatARunCosts(t *testing.T) {
	whole := times(4, stepCost).Add(times(3, validCost))
	stop := errors.New("the machine goes down")
	for _, tc := range []struct {
		name  string
		first func(w *world, r *Run)         // what stops the first process
		then  func(t *testing.T, dir string) // before the second
		lost  journal.Cost
	}{
		{name: "not stopped"},
		{name: "while sampling step 1: nothing is sampled twice",
			first: func(w *world, _ *Run) {
				w.onRollout = func(ordinal int64, sample int) error {
					if ordinal == 3 && sample == 1 {
						return stop
					}
					return nil
				}
			}},
		{name: "in the update of step 3: step 2 is trained again, and both times cost",
			first: func(w *world, _ *Run) { w.onUpdate = at(3, func() error { return stop }) },
			lost:  journal.Cost{TokensTrained: 2, FLOPsTrained: 3 * 6 * 292, TrainerSeconds: 2}},
		{name: "… and step 2's rollouts are gone: they are sampled again",
			first: func(w *world, _ *Run) { w.onUpdate = at(3, func() error { return stop }) },
			then: func(t *testing.T, dir string) {
				if err := os.Remove(journal.RolloutsPath(dir, 2)); err != nil {
					t.Fatal(err)
				}
			},
			lost: stepCost.Add(journal.Cost{TrainerSeconds: 1, ServerSeconds: 6})},
		{name: "… and they go after the resume",
			first: func(w *world, _ *Run) { w.onUpdate = at(3, func() error { return stop }) },
			then: func(t *testing.T, dir string) {
				_, done := newRun(t, &world{}, testConfig(t), dir)
				done()
				if err := os.Remove(journal.RolloutsPath(dir, 2)); err != nil {
					t.Fatal(err)
				}
			},
			lost: stepCost.Add(journal.Cost{TrainerSeconds: 1, ServerSeconds: 6})},
		{name: "… and the resumed one is stopped before it does anything",
			first: func(w *world, _ *Run) { w.onUpdate = at(3, func() error { return stop }) },
			then: func(t *testing.T, dir string) {
				for range 2 {
					_, done := newRun(t, &world{}, testConfig(t), dir)
					done()
				}
			},
			lost: journal.Cost{TokensTrained: 2, FLOPsTrained: 3 * 6 * 292, TrainerSeconds: 2}},
		{name: "the gate refuses step 1",
			first: func(w *world, _ *Run) {
				w.onSample = at(1, func() error { w.mismatch = updater.Mismatch{Tokens: 9, RatioP50: 2}; return nil })
			},
			lost: journal.Cost{TokensGenerated: 12, FLOPsGenerated: 6 * 292, ServerSeconds: 6, TrainerSeconds: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			train := func(before func(*world, *Run)) (journal.Summary, error) {
				w := &world{}
				r, done := newRun(t, w, testConfig(t), dir)
				defer done()
				seconds := int64(0)
				r.Now = func() time.Time { seconds++; return time.Unix(seconds, 0) }
				r.Servers = &busy{w: w, events: events{taken: map[string]int{}}}
				if before != nil {
					before(w, r)
				}
				return r.Train(context.WithoutCancel(t.Context()))
			}
			if tc.first != nil {
				if _, err := train(tc.first); err == nil {
					t.Fatal("the first process was not stopped")
				}
			}
			if tc.then != nil {
				tc.then(t, dir)
			}
			s, err := train(nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(journal.Costs{All: whole.Add(tc.lost), Lost: tc.lost}, s.Cost); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			steps, measured := recordsOf(t, dir)
			for _, rec := range steps {
				if diff := cmp.Diff(stepCost, rec.Cost); diff != "" {
					t.Errorf("step %d (-want +got):\n%s", rec.Step, diff)
				}
			}
			for _, v := range measured {
				if diff := cmp.Diff(validCost, v.Cost); diff != "" {
					t.Errorf("the validation after %d (-want +got):\n%s", v.Steps, diff)
				}
			}
		})
	}
}

// A run that is resumed to end before the steps that were rewound has sampled them
// for nothing: no record of theirs will say what that cost. One that goes on after
// all has them in its records again, once.
func TestWhatRewoundStepsCostThatAreNotDoneAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	c := testConfig(t)
	c.Validation.Every = 0
	train := func(steps int, before func(*world)) (journal.Summary, error) {
		w, c := &world{}, c
		c.Steps = steps
		r, done := newRun(t, w, c, dir)
		defer done()
		r.HeldOut = nil
		seconds := int64(0)
		r.Now = func() time.Time { seconds++; return time.Unix(seconds, 0) }
		r.Servers = &busy{w: w, events: events{taken: map[string]int{}}}
		before(w)
		return r.Train(t.Context())
	}
	stop := errors.New("the machine goes down")
	if _, err := train(6, func(w *world) { w.onUpdate = at(3, func() error { return stop }) }); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	update := journal.Cost{TokensTrained: 2, FLOPsTrained: 3 * 6 * 292, TrainerSeconds: 1} // of step 2, the first time
	failed := journal.Cost{TrainerSeconds: 1}                                              // of step 3
	for _, tc := range []struct {
		steps int
		want  journal.Costs
	}{
		{2, journal.Costs{ // what step 3 has in its partial file is in no figure, but for the time
			All:  times(2, stepCost).Add(stepCost).Add(failed).Add(journal.Cost{ServerSeconds: 6}),
			Lost: stepCost.Add(failed).Add(journal.Cost{ServerSeconds: 6}),
		}},
		{3, journal.Costs{
			All:  times(3, stepCost).Add(update).Add(failed).Add(journal.Cost{ServerSeconds: 6}),
			Lost: update.Add(failed).Add(journal.Cost{ServerSeconds: 6}),
		}},
		{4, journal.Costs{All: times(4, stepCost).Add(update).Add(failed), Lost: update.Add(failed)}},
	} {
		s, err := train(tc.steps, func(*world) {})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, s.Cost); diff != "" {
			t.Errorf("to %d steps (-want +got):\n%s", tc.steps, diff)
		}
	}
}

// What a server gave that turns out to serve something else is taken back, and is
// in the cost of the step that draws it again, whether the step had all of its
// rollouts or was broken off.
func TestWhatIsTakenBackCosts(t *testing.T) {
	canary := &bridge.CanaryError{Part: bridge.PartIdle}
	for _, tc := range []struct {
		name  string
		stop  func(w *world, cancel func())
		taken int // rollouts
	}{
		{"after sampling step 3", func(w *world, _ func()) {
			w.onCheck = nth(6, func() error { return canary }) // each step and two validations are checked
		}, 6},
		{"in the middle of step 3, which is interrupted", func(w *world, cancel func()) {
			w.onRollout = rolloutAt(7, 1, func() error {
				w.onCheck = func() error { return canary }
				cancel()
				return context.Canceled
			})
		}, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			first := &world{}
			r, done := newRun(t, first, testConfig(t), dir)
			tc.stop(first, cancel)
			if _, err := r.Train(ctx); !errors.Is(err, canary) {
				t.Fatalf("the first process ended with %v", err)
			}
			done()
			then := &world{served: first.served}
			r, done = newRun(t, then, testConfig(t), dir)
			defer done()
			if _, err := r.Train(t.Context()); err != nil {
				t.Fatal(err)
			}
			steps, _ := recordsOfOpen(t, r)
			got := steps[3].Sampling()
			want := journal.Cost{TokensGenerated: 12, TokensResampled: int64(2 * tc.taken), FLOPsGenerated: float64(6+tc.taken) * 292}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("step 3 (-want +got):\n%s", diff)
			}
		})
	}
}

// What ends a run is one line, also where it cannot be written down what the step
// took, or its rollouts cannot be set aside.
func TestWhatCannotBeNotedIsOneLine(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name  string
		stop  func(w *world, dir string) error // in step 1, after its rollouts
		ends  error
		words string
	}{
		{"the cost", func(_ *world, dir string) error {
			if err := os.Mkdir(journal.SpentPath(dir), 0o777); err != nil {
				return err
			}
			return broken
		}, broken, "broken; nor could it be noted what that took: "},
		{"refused rollouts", func(w *world, dir string) error {
			w.mismatch = updater.Mismatch{Tokens: 9, RatioP50: 2}
			return os.Mkdir(filepath.Join(dir, "rollouts", "step-000001.refused.jsonl"), 0o777)
		}, ErrMismatch, "; nor could its rollouts be set aside: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			w := &world{}
			r, done := newRun(t, w, testConfig(t), dir)
			defer done()
			r.Servers = &busy{w: w, events: events{taken: map[string]int{}}}
			w.onRollout = rolloutAt(3, 2, func() error { return tc.stop(w, dir) })
			_, err := r.Train(t.Context())
			if !errors.Is(err, tc.ends) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), tc.words) {
				t.Errorf("error %v, want one line with %q", err, tc.words)
			}
		})
	}
}
