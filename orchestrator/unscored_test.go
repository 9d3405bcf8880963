package orchestrator

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/journal"
)

// What could not be scored is counted, not trained on, and not missed: neither
// by a run that is resumed nor by a replay. Of row 4 one sample is left, with
// nothing to be compared with.
func TestUnscoredRolloutsAreLeftOut(t *testing.T) {
	fail := func(ordinal int64, sample int) bool {
		return ordinal == 1 && sample == 0 || ordinal == 4 && sample > 0 || ordinal == 900 && sample == 3
	}
	c := testConfig(t)
	c.Reward.MaxUnscored, c.Checkpoint.Every = 0.5, 4
	whole := &world{unscored: fail}
	dir := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, whole, c, dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, err := r.Journal.Steps()
	if err != nil {
		t.Fatal(err)
	}
	validations, err := r.Journal.Validations()
	if err != nil {
		t.Fatal(err)
	}
	done()
	var got []*journal.Unscored
	for _, s := range records {
		got = append(got, s.Unscored)
	}
	if d := cmp.Diff([]*journal.Unscored{{Timeouts: 1}, nil, {Errors: 2}, nil}, got); d != "" {
		t.Errorf("unscored (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]int{"set": 1}, validations[0].Unscored); d != "" {
		t.Errorf("unscored in validation (-want +got):\n%s", d)
	}
	for step, want := range map[int]int{0: 5, 1: 6, 2: 3} {
		if all, err := journal.ReadRollouts(dir, step); err != nil || len(all) != want {
			t.Errorf("step %d was trained on %d rollouts, want %d (%v)", step, len(all), want, err)
		}
	}

	// Stopped in step 3 with nothing saved, so that all steps are trained on again.
	broken := errors.New("broken")
	w := &world{unscored: fail, onSample: at(3, func() error { return broken })}
	again := filepath.Join(t.TempDir(), "run")
	r, done = newRun(t, w, c, again)
	if _, err := r.Train(t.Context()); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	done()
	checkpoints, err := filepath.Glob(filepath.Join(again, "checkpoints", "*"))
	if err != nil || len(checkpoints) == 0 {
		t.Fatalf("%v, %v", checkpoints, err)
	}
	for _, path := range checkpoints {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	w = &world{unscored: fail}
	r, done = newRun(t, w, c, again)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	if w.weight != whole.weight || w.asked["4/0"] != 0 {
		t.Errorf("weights %d, want %d; row 4 was asked for again %d times", w.weight, whole.weight, w.asked["4/0"])
	}
	// With a limit of none the same files are damaged.
	if err := os.RemoveAll(filepath.Join(again, "checkpoints")); err != nil {
		t.Fatal(err)
	}
	c.Reward.MaxUnscored = 0
	r, done = newRun(t, &world{}, c, again)
	defer done()
	if _, err := r.Train(t.Context()); err == nil || !strings.Contains(err.Error(), "has 2 of the 3 rollouts of row 1") {
		t.Errorf("without a limit: %v", err)
	}
}

func TestNothingToCompare(t *testing.T) {
	c := testConfig(t)
	c.Reward.MaxUnscored = 0.9
	r, done := newRun(t, &world{unscored: func(ordinal int64, sample int) bool { return ordinal < 900 && sample > 0 }}, c, filepath.Join(t.TempDir(), "run"))
	defer done()
	if _, err := r.Train(t.Context()); !errors.Is(err, ErrTooFewGroups) || !strings.Contains(err.Error(), "of none of the 2 rows") {
		t.Errorf("%v", err)
	}
}

func TestDynamicSamplingWithUnscored(t *testing.T) {
	c := testConfig(t)
	c.Sampling.Dynamic, c.Reward.MaxUnscored, c.Steps = true, 0.9, 1
	// Rows 0 and 1 have one sample each: as good as equal, and left out.
	w := &world{
		unscored: func(ordinal int64, sample int) bool { return ordinal < 2 && sample > 0 },
		verdict:  func(_ int64, right bool) bool { return right },
	}
	r, done := newRun(t, w, c, filepath.Join(t.TempDir(), "run"))
	defer done()
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, err := r.Journal.Steps()
	if err != nil {
		t.Fatal(err)
	}
	if u := records[0].Unscored; u == nil || u.Errors != 4 || records[0].EqualGroups < 2 {
		t.Errorf("unscored %+v, drawn %+v", u, records[0].Drawn)
	}
}
