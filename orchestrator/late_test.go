package orchestrator

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

// A step that takes too long ends as one that is interrupted: what there is of
// it is kept, the resumed run asks only for the rest and ends the same.
func TestStepTimeout(t *testing.T) {
	undisturbed := &world{}
	whole := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, undisturbed, testConfig(t), whole)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	want, _ := recordsOf(t, whole)

	dir := filepath.Join(t.TempDir(), "run")
	w := &world{}
	synctest.Test(t, func(t *testing.T) {
		c := testConfig(t)
		c.Sampling.StepTimeout = config.Duration(10 * time.Second)
		r, done := newRun(t, w, c, dir)
		r.Servers = &events{taken: map[string]int{}}
		w.until = func(ordinal int64, sample int) time.Duration {
			if ordinal == 3 && sample == 1 { // of step 1, after four of its six
				return time.Minute
			}
			return time.Second
		}
		_, err := r.Train(t.Context())
		done()
		var late *StepTimeoutError
		if !errors.As(err, &late) {
			t.Fatalf("error %v, want a StepTimeoutError", err)
		}
		if diff := cmp.Diff(&StepTimeoutError{Step: 1, After: 10 * time.Second, Missing: 2, Rollouts: 6, Waiting: []string{"http://a has 3 unanswered, the oldest for 9s"}}, late); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		for _, words := range []string{"step 1: sampling took longer than sampling.step_timeout (10s): 2 of 6 rollouts are missing: http://a has 3 unanswered, the oldest for 9s", "raise sampling.step_timeout", "what was sampled is kept"} {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%q does not say %q", err, words)
			}
		}
	})
	w.until = nil
	r, done = newRun(t, w, testConfig(t), dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	got, _ := recordsOf(t, dir)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(journal.Step{}, "WeightsVersion")); diff != "" {
		t.Errorf("the records differ (-undisturbed +resumed):\n%s", diff)
	}
	for sample, n := range w.asked {
		if n != 1 {
			t.Errorf("sample %s was sampled %d times", sample, n)
		}
	}
}
