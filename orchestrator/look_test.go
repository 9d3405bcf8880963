package orchestrator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// judge is a verifier: it accepts what accept says at its n-th call, from 0.
type judge struct {
	calls  atomic.Int64
	accept func(call int64, text, truth string) (bool, error)
}

func (j *judge) Verify(_ context.Context, text, truth string) (sampler.Score, error) {
	ok, err := j.accept(j.calls.Add(1)-1, text, truth)
	if ok {
		return sampler.Score{Reward: 1, Correct: true}, err
	}
	return sampler.Score{Reward: -1}, err
}

func steady() *judge {
	return &judge{accept: func(int64, string, string) (bool, error) { return true, nil }}
}

// A sample of every so many steps' rollouts is judged by the other verifier; what
// it fails on is no disagreement.
func TestVerdictsAreCompared(t *testing.T) {
	c := testConfig(t)
	c.Steps, c.Monitor.CompareEvery, c.Monitor.CompareSample = 4, 2, 5
	other := &judge{accept: func(call int64, _, _ string) (bool, error) {
		if call%5 == 4 {
			return false, errors.New("no answer")
		}
		return true, nil
	}}
	// Of the two rows the one is right: of five rollouts two or three are not, and one of these may be the other's error.
	w := &world{verdict: func(ordinal int64, _ bool) bool { return ordinal%2 == 0 }}
	r, done := newRun(t, w, c, filepath.Join(t.TempDir(), "run"))
	defer done()
	r.Other = other
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	steps, _ := recordsOfOpen(t, r)
	for _, s := range steps {
		if (s.Compared != nil) != (s.Step%2 == 1) {
			t.Errorf("step %d: %v", s.Step, s.Compared)
		}
		if s.Compared != nil && (s.Judged != 4 || s.CompareErrors != 1 || s.OnlyTraining > 0 || s.OnlyOther < 1 || s.OnlyOther > 3) {
			t.Errorf("step %d: %+v", s.Step, *s.Compared)
		}
		if s.Texts == nil {
			t.Errorf("step %d: nothing is said of its texts", s.Step)
		}
	}
	if n := other.calls.Load(); n != 2*5 {
		t.Errorf("the other verifier was asked %d times, want 10", n)
	}
}

// The answers of the first step are kept and scored again; a verifier that comes
// to score them otherwise ends the run, and the resumed one at once, before
// anything is trained.
func TestVerifierDriftStops(t *testing.T) {
	c := testConfig(t)
	c.Steps, c.Monitor.RescoreEvery, c.Monitor.RescoreSample = 6, 2, 4
	dir := filepath.Join(t.TempDir(), "run")
	w := &world{}
	r, done := newRun(t, w, c, dir)
	changed := &judge{accept: func(call int64, _, _ string) (bool, error) {
		return call < 4*2+4, nil // twice to keep them, once after step 1
	}}
	r.Verifier = changed
	_, err := r.Train(t.Context())
	done()
	var stop *StopError
	if !errors.As(err, &stop) || stop.Event.Signature != "verifier_drift" || stop.Event.Step != 3 || stop.Event.Evidence["changed"] != 4 {
		t.Fatalf("error %v, want a verifier_drift after step 3", err)
	}

	r, done = newRun(t, w, c, dir)
	r.Verifier = changed
	trained := len(w.log)
	_, err = r.Train(t.Context())
	done()
	if !errors.As(err, &stop) || stop.Event.Step != 3 || strings.Contains(strings.Join(w.log[trained:], " "), "load") {
		t.Fatalf("resumed: error %v after %q", err, w.log[trained:])
	}

	r, done = newRun(t, w, c, dir)
	r.Verifier = steady() // put right
	_, err = r.Train(t.Context())
	defer done()
	if err != nil {
		t.Fatal(err)
	}
	steps, _ := recordsOfOpen(t, r)
	if len(steps) != 6 || steps[1].Rescored == nil || *steps[1].Rescored != (journal.Rescored{Rescored: 4}) || *steps[3].Rescored != (journal.Rescored{Rescored: 4, Changed: 4}) || *steps[5].Rescored != (journal.Rescored{Rescored: 4}) {
		t.Errorf("records %+v", steps)
	}
}

// A verifier that is no function of its input, or fails, is not taken for one that has changed.
func TestUnsteadyAnswersAreNotKept(t *testing.T) {
	for _, tc := range []struct {
		name   string
		accept func(call int64, _, _ string) (bool, error)
		kept   int
	}{
		{"no function", func(call int64, _, _ string) (bool, error) { return call < 4, nil }, 0},
		{"fails", func(int64, string, string) (bool, error) { return true, errors.New("no answer") }, 0},
		{"steady", func(int64, string, string) (bool, error) { return false, nil }, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := testConfig(t)
			c.Monitor.RescoreEvery, c.Monitor.RescoreSample = 1, 4
			r, done := newRun(t, &world{}, c, filepath.Join(t.TempDir(), "run"))
			defer done()
			r.Verifier = &judge{accept: tc.accept}
			if _, err := r.Train(t.Context()); err != nil {
				t.Fatal(err)
			}
			kept, err := r.Journal.ReadFixed()
			if err != nil || len(kept) != tc.kept {
				t.Errorf("%d answers are kept, %v; want %d", len(kept), err, tc.kept)
			}
		})
	}
}

// The sample is a function of seed and step, and has no rollout twice.
func TestSampledIsAFunctionOfSeedAndStep(t *testing.T) {
	groups := make([]sampler.Group, 10)
	for i := range groups {
		groups[i].Row.Problem = sampler.Problem{ID: strconv.Itoa(i), Answer: "truth " + strconv.Itoa(i)}
		for j := range 4 {
			groups[i].Rollouts = append(groups[i].Rollouts, sampler.Rollout{Sample: j, Text: strconv.Itoa(i) + "/" + strconv.Itoa(j)})
		}
	}
	rollouts, pairs, problems := sampled(groups, 1, 2, 15)
	again, _, _ := sampled(groups, 1, 2, 15)
	if d := cmp.Diff(rollouts, again); d != "" {
		t.Errorf("another sample: %s", d)
	}
	other, _, _ := sampled(groups, 1, 3, 15)
	if cmp.Equal(rollouts, other) {
		t.Error("the next step has the same sample")
	}
	seen := map[string]bool{}
	for i, p := range pairs {
		if seen[p.text] || p.text != rollouts[i].Text || p.truth != "truth "+problems[i] || !strings.HasPrefix(p.text, problems[i]+"/") {
			t.Errorf("pair %d is %+v of problem %s", i, p, problems[i])
		}
		seen[p.text] = true
	}
	if all, _, _ := sampled(groups, 1, 2, 1000); len(seen) != 15 || len(all) != 40 {
		t.Errorf("%d and %d rollouts, want 15 and 40", len(seen), len(all))
	}
}

// A run that does not look for drift keeps nothing.
func TestNothingIsKeptWithoutRescoring(t *testing.T) {
	c := testConfig(t)
	c.Monitor.RescoreEvery = 0
	c.Monitor.VerifierDrift.Action = config.ActionOff
	r, done := newRun(t, &world{}, c, filepath.Join(t.TempDir(), "run"))
	defer done()
	v := steady()
	r.Verifier = v
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kept, err := r.Journal.ReadFixed(); v.calls.Load() != 0 || len(kept) != 0 || err != nil {
		t.Errorf("asked %d times, %d kept, %v", v.calls.Load(), len(kept), err)
	}
}

// hung is a verifier that answers until stuck says so, and then not before its
// context ends.
type hung struct {
	judge
	stuck func() bool
}

func (h *hung) Verify(ctx context.Context, text, truth string) (sampler.Score, error) {
	if h.stuck() {
		<-ctx.Done()
		return sampler.Score{}, context.Cause(ctx)
	}
	return h.judge.Verify(ctx, text, truth)
}

// Neither of the verifiers that the monitor asks holds up an interrupt, and the
// resumed run has the records and kept answers of one that was left alone.
func TestHungVerifiersDoNotHoldUpAnInterrupt(t *testing.T) {
	c := testConfig(t)
	c.Monitor.CompareEvery, c.Monitor.CompareSample, c.Monitor.RescoreEvery, c.Monitor.RescoreSample = 2, 4, 2, 4
	train := func(t *testing.T, ctx context.Context, w *world, dir string, training, other sampler.Verifier) error {
		r, done := newRun(t, w, c, dir)
		defer done()
		r.Verifier, r.Other = training, other
		_, err := r.Train(ctx)
		return err
	}
	whole := filepath.Join(t.TempDir(), "run")
	undisturbed := &world{}
	if err := train(t, t.Context(), undisturbed, whole, steady(), steady()); err != nil {
		t.Fatal(err)
	}
	want, measured := recordsOf(t, whole)
	for _, tc := range []struct {
		name  string
		other bool // hangs, and not the verifier of training
		step  int  // in which it does
	}{{"when answers are taken", false, 0}, {"when they are scored again", false, 1}, {"when verdicts are compared", true, 1}} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			w := &world{}
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				step := -1
				w.onSample = func(s int) error { step = s; return nil }
				bad := &hung{judge: judge{accept: steady().accept}, stuck: func() bool { return step == tc.step }}
				training, other := sampler.Verifier(bad), sampler.Verifier(steady())
				if tc.other {
					training, other = other, training
				}
				time.AfterFunc(time.Second, cancel)
				begun := time.Now()
				if err := train(t, ctx, w, dir, training, other); !errors.Is(err, ErrInterrupted) {
					t.Errorf("error %v, want ErrInterrupted", err)
				}
				if took := time.Since(begun); took > 2*time.Second {
					t.Errorf("it ended %s after the interrupt", took-time.Second)
				}
			})
			w.onSample = nil
			again := &world{served: w.served, asked: w.asked}
			if err := train(t, t.Context(), again, dir, steady(), steady()); err != nil {
				t.Fatal(err)
			}
			for sample, times := range again.asked {
				if times > 1 {
					t.Errorf("sample %s was asked for %d times", sample, times)
				}
			}
			sameEnd(t, undisturbed, again, dir, want, measured)
			kept, err := os.ReadFile(journal.FixedPath(dir))
			if err != nil {
				t.Fatal(err)
			}
			if alone, err := os.ReadFile(journal.FixedPath(whole)); err != nil || string(kept) != string(alone) {
				t.Errorf("other answers are kept than by the run that was left alone, %v", err)
			}
		})
	}
}
