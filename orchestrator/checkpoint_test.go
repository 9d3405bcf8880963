package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/internal/flops"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

// A checkpoint is written while the next step is sampled, and the update waits for it.
func TestCheckpointIsWrittenBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{until: func(int64, int) time.Duration { return time.Second }}
		w.onExport = func() error {
			w.say("export begins")
			time.Sleep(10 * time.Second) // longer than a step's six samples
			w.say("export ends")
			return nil
		}
		c := testConfig(t)
		c.Steps, c.Validation.Every = 3, 0
		r, done := newRun(t, w, c, filepath.Join(t.TempDir(), "run"))
		defer done()
		r.Now = time.Now
		if _, err := r.Train(t.Context()); err != nil {
			t.Fatal(err)
		}
		log := strings.Join(w.log, ", ")
		want := "recorded 1, export begins, sample 4-5 n=3 T=1, export ends, save, update 2"
		if other := strings.Replace(want, "export begins, sample 4-5 n=3 T=1", "sample 4-5 n=3 T=1, export begins", 1); !strings.Contains(log, want) && !strings.Contains(log, other) {
			t.Errorf("it was not written while step 2 was sampled, or not waited for: %s", log)
		}
		steps, err := r.Journal.Steps()
		if err != nil {
			t.Fatal(err)
		}
		if s := steps[2]; s.Sample != 6 || s.Checkpoint != 4 || s.Total != 10 || steps[1].Checkpoint != 0 {
			t.Errorf("sampled for %g s, waited for %g s of %g s", s.Sample, s.Checkpoint, s.Total)
		}
	})
}

// A checkpoint that could not be written ends the run before the weights change, and
// what was sampled meanwhile is there for the resumed one.
func TestCheckpointThatFails(t *testing.T) {
	full := errors.New("the disk is full")
	for _, tc := range []struct {
		name  string
		fails func(n int) bool // of the run's exports, from 1
		next  int
		want  string
	}{
		{"for good", func(int) bool { return true }, 0, "step before could not"},
		{"and not when it is tried again", func(n int) bool { return n == 1 }, 2, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			w, n := &world{}, 0
			w.onExport = func() error {
				if n++; tc.fails(n) {
					return full
				}
				return nil
			}
			r, done := newRun(t, w, testConfig(t), dir)
			_, err := r.Train(t.Context())
			done()
			if !errors.Is(err, full) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "nor could") != (tc.want != "") {
				t.Fatalf("Train: %v", err)
			}
			if strings.Contains(strings.Join(w.log, ", "), "update 2") {
				t.Error("the weights changed")
			}
			again := &world{served: w.served, asked: w.asked}
			r, done = newRun(t, again, testConfig(t), dir)
			if r.progress.NextStep != tc.next {
				t.Errorf("resumes at step %d, want %d", r.progress.NextStep, tc.next)
			}
			if _, err := r.Train(t.Context()); err != nil {
				t.Fatal(err)
			}
			done()
			for sample, times := range again.asked {
				if times != 1 {
					t.Errorf("%s was asked for %d times", sample, times)
				}
			}
		})
	}
}

// An interrupt while a checkpoint is being written waits for it.
func TestInterruptWhileACheckpointIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := &world{until: func(int64, int) time.Duration { return time.Second }}
		w.onExport = func() error {
			time.Sleep(2 * time.Second)
			cancel()
			time.Sleep(time.Minute)
			return nil
		}
		c := testConfig(t)
		c.Validation.Every = 0
		r, done := newRun(t, w, c, filepath.Join(t.TempDir(), "run"))
		defer done()
		if _, err := r.Train(ctx); !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		if has, err := r.Journal.HasCheckpoint(2); !has || err != nil {
			t.Errorf("there is none: %v", err)
		}
	})
}

// damage changes a byte of a checkpoint's file.
func damage(t *testing.T, dir string, done int, file string) {
	t.Helper()
	path := filepath.Join(dir, "checkpoints", fmt.Sprintf("step-%06d", done), file)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A damaged checkpoint is not resumed from: the one before it is, it is said, nothing
// is sampled again whose rollouts are kept, and the end is the same.
func TestDamagedCheckpoint(t *testing.T) {
	c := testConfig(t)
	undisturbed := &world{}
	whole := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, undisturbed, c, whole)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	want, measured := recordsOf(t, whole)

	for _, file := range []string{"weights", "trainer/state", "trainer/progress.json", "COMPLETE"} {
		t.Run(file, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			w := &world{}
			short := c
			short.Checkpoint.Rollouts = 1
			r, done := newRun(t, w, short, dir)
			if _, err := r.Train(t.Context()); err != nil {
				t.Fatal(err)
			}
			done()
			damage(t, dir, 4, file)
			again := &world{served: w.served, asked: w.asked}
			r, done = newRun(t, again, c, dir)
			if r.progress.NextStep != 2 {
				t.Errorf("resumes at step %d", r.progress.NextStep)
			}
			if n := again.notices; len(n) != 1 || !strings.Contains(n[0], "step-000004: ") && !strings.Contains(n[0], "step-000004/COMPLETE: ") || !strings.Contains(n[0], "step-000002, and steps 2 to 3, counted from 0, are done again") || strings.Contains(n[0], "\n") {
				t.Errorf("said %q", n)
			}
			if _, err := os.Stat(filepath.Join(dir, "checkpoints/step-000004.damaged")); err != nil {
				t.Error(err)
			}
			if _, err := r.Train(t.Context()); err != nil {
				t.Fatal(err)
			}
			done()
			for sample, times := range again.asked {
				if times != 1 {
					t.Errorf("%s was asked for %d times", sample, times)
				}
			}
			if left, err := filepath.Glob(filepath.Join(dir, "checkpoints/*.damaged")); err != nil || len(left) > 0 {
				t.Errorf("%v is still there, %v", left, err)
			}
			sameEnd(t, undisturbed, again, dir, want, measured)
		})
	}
}

// With no whole checkpoint the run is not begun again by itself.
func TestOnlyDamagedCheckpoints(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, &world{}, testConfig(t), dir)
	defer done()
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	damage(t, dir, 4, "weights")
	damage(t, dir, 2, "trainer/state")
	if _, err := r.Resume(t.Context()); !errors.Is(err, journal.ErrNoWholeCheckpoint) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "remove ") {
		t.Errorf("error %v", err)
	}
}

// The newest, the multiples and the best stay.
func TestWhichCheckpointsStay(t *testing.T) {
	c := testConfig(t)
	c.Steps, c.Checkpoint.Every, c.Checkpoint.Keep, c.Checkpoint.KeepEvery, c.Validation.Every = 12, 1, 2, 4, 2
	dir := filepath.Join(t.TempDir(), "run")
	w := &world{}
	right := map[int]bool{2: true, 6: true} // measured after so many steps; the first of two
	steps := 0
	w.onUpdate = func(step int) error { steps = step + 1; return nil }
	w.verdict = func(ordinal int64, was bool) bool {
		if ordinal == 900 {
			return right[steps]
		}
		return was
	}
	r, done := newRun(t, w, c, dir)
	defer done()
	s, err := r.Train(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	folders, err := filepath.Glob(filepath.Join(dir, "checkpoints", "step-*"))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range folders {
		folders[i] = filepath.Base(f)
	}
	if d := cmp.Diff([]string{"step-000002", "step-000004", "step-000008", "step-000011", "step-000012"}, folders); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	want := &journal.Best{Steps: 2, Accuracy: 1, Of: "mean", Checkpoint: "step-000002"}
	if d := cmp.Diff(want, s.Best); d != "" {
		t.Errorf("the summary's best (-want +got):\n%s", d)
	}
}

// The best is saved where no checkpoint is due.
func TestTheBestIsSaved(t *testing.T) {
	for _, tc := range []struct {
		name, set string
		want      *journal.Best
	}{
		{"by the mean", "", &journal.Best{Steps: 3, Accuracy: 1, Of: "mean", Checkpoint: "step-000003"}},
		{"by a set", "set", &journal.Best{Steps: 3, Accuracy: 1, Of: "set", Checkpoint: "step-000003"}},
		{"by a set that is not measured", "other", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := testConfig(t)
			c.Steps, c.Checkpoint.Every, c.Validation.Every, c.Validation.Best = 5, 0, 1, tc.set
			w, steps := &world{}, 0
			w.onUpdate = func(step int) error { steps = step + 1; return nil }
			w.verdict = func(ordinal int64, was bool) bool { return was && ordinal != 900 || ordinal == 900 && steps == 3 }
			r, done := newRun(t, w, c, filepath.Join(t.TempDir(), "run"))
			defer done()
			s, err := r.Train(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, s.Best); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// What was measured after the checkpoint that a run falls back to is no best of it.
func TestBestAfterAFallback(t *testing.T) {
	c := testConfig(t)
	dir := filepath.Join(t.TempDir(), "run")
	w, steps := &world{}, 0
	w.onUpdate = func(step int) error { steps = step + 1; return nil }
	w.verdict = func(ordinal int64, was bool) bool { return was && ordinal != 900 || ordinal == 900 && steps == 4 }
	r, done := newRun(t, w, c, dir)
	if s, err := r.Train(t.Context()); err != nil || s.Best.Steps != 4 {
		t.Fatalf("%+v, %v", s.Best, err)
	}
	done()
	damage(t, dir, 4, "weights")
	r, done = newRun(t, &world{served: w.served}, c, dir)
	defer done()
	if best, marked, err := r.Journal.Best(); marked || err != nil {
		t.Errorf("the best is %+v, %v", best, err)
	}
}

// A resumed run writes down where and how it goes on, and with another recipe what was
// drawn by the old one is not trained on.
func TestResumedRunsAreRecorded(t *testing.T) {
	for _, tc := range []struct {
		name   string
		recipe []string
		again  int // samples that are asked for again, of the steps 2 and 3 whose checkpoint is gone
	}{
		{"the same recipe", nil, 0},
		{"another learning rate: step 2 was drawn from the same weights", []string{"optimizer.lr is 2, was 1"}, 6},
		{"another reward", []string{"reward.verifier is rule, was strict-box"}, 12},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			w := &world{}
			r, done := newRun(t, w, testConfig(t), dir)
			if _, err := r.Train(t.Context()); err != nil {
				t.Fatal(err)
			}
			done()
			damage(t, dir, 4, "weights")
			again := &world{t: t, served: w.served, asked: w.asked}
			j, _, err := journal.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close() //nolint:errcheck // of a test
			if err := j.WriteFixed([]journal.Fixed{{Text: "kept"}}); err != nil {
				t.Fatal(err)
			}
			r = resumable(again, testConfig(t), j)
			r.Resumed = &journal.Resume{Version: "v", Changed: []string{"trainer.threads is 4, was 2"}, Recipe: tc.recipe}
			cursor, err := r.Resume(t.Context())
			if err := errors.Join(err, json.Unmarshal(cursor, &again.next)); err != nil {
				t.Fatal(err)
			}
			if kept, err := j.ReadFixed(); err != nil || (len(kept) == 0) != (tc.name == "another reward") {
				t.Errorf("answers to score again: %v, %v", kept, err)
			}
			if _, err := r.Train(t.Context()); err != nil {
				t.Fatal(err)
			}
			twice := 0
			for _, times := range again.asked {
				twice += times - 1
			}
			if twice != tc.again {
				t.Errorf("%d samples were asked for again, want %d", twice, tc.again)
			}
			all, err := journal.Resumes(dir)
			if err != nil || len(all) != 1 {
				t.Fatalf("%v, %v", all, err)
			}
			if got := all[0]; got.NextStep != 2 || got.Version != "v" || len(got.Changed) != 1 || !cmp.Equal(got.Recipe, tc.recipe) || len(got.Damaged) != 1 || !strings.Contains(got.Damaged[0], "weights") {
				t.Errorf("%+v", got)
			}
		})
	}
}

// resumable wires a run over w and an open directory.
func resumable(w *world, c config.Config, j *journal.Dir) *Run {
	return &Run{
		Config: c, Rows: w, Sampler: w, Updater: worldUpdater{w}, Snapshots: w, Bridge: w, Journal: j, Observer: w,
		HeldOut: heldOutSet(), Now: func() time.Time { return time.Unix(0, 0) },
		Shape: flops.Shape{Layers: 1, Hidden: 2, Intermediate: 3, Heads: 1, KVHeads: 1, HeadDim: 2, Vocab: 5},
	}
}

// A run that an older build has left, its rollouts in JSON Lines, goes on: what it has
// is trained on again, and is parquet from then on.
func TestOlderBuildsRunGoesOn(t *testing.T) {
	c := testConfig(t)
	undisturbed := &world{}
	whole := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, undisturbed, c, whole)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	want, measured := recordsOf(t, whole)

	dir := filepath.Join(t.TempDir(), "run")
	w := &world{}
	r, done = newRun(t, w, c, dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	for step := range 4 {
		asLines(t, dir, step)
	}
	if err := os.RemoveAll(filepath.Join(dir, "checkpoints/step-000004")); err != nil {
		t.Fatal(err)
	}
	again := &world{served: w.served}
	r, done = newRun(t, again, c, dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	if len(again.asked) > 0 {
		t.Errorf("%d samples were asked for again", len(again.asked))
	}
	sameEnd(t, undisturbed, again, dir, want, measured)
	var ends []string
	for step := range 4 {
		ends = append(ends, filepath.Ext(journal.RolloutsPath(dir, step)))
	}
	if d := cmp.Diff([]string{".jsonl", ".jsonl", ".parquet", ".parquet"}, ends); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A line of the partial that a disk has changed is said, and its rollout alone is
// sampled again.
func TestDamagedPartialGoesOn(t *testing.T) {
	c := testConfig(t)
	undisturbed := &world{}
	whole := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, undisturbed, c, whole)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	want, measured := recordsOf(t, whole)

	dir := filepath.Join(t.TempDir(), "run")
	broken := errors.New("broken")
	w := &world{onRollout: rolloutAt(3, 1, func() error { return broken })} // five of step 1 are kept
	r, done = newRun(t, w, c, dir)
	if _, err := r.Train(t.Context()); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	done()
	path := filepath.Join(dir, "rollouts/step-000001.partial.jsonl")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(b), "\n")
	lines[1] = strings.Replace(lines[1], `"group"`, `"group`, 1)
	lines[2] = strings.Replace(lines[2], `"token_ids":[1,2]`, `"token_ids":[1,3]`, 1) // JSON still
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644); err != nil {
		t.Fatal(err)
	}
	again := &world{served: w.served, asked: w.asked}
	r, done = newRun(t, again, c, dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	twice := 0
	for _, times := range again.asked {
		twice += times - 1
	}
	if twice != 2 {
		t.Errorf("%d samples were asked for again, want 2", twice)
	}
	if len(again.notices) != 1 || !strings.Contains(again.notices[0], "2 lines") || !strings.Contains(again.notices[0], "step-000001.partial.jsonl:") {
		t.Errorf("said %q", again.notices)
	}
	sameEnd(t, undisturbed, again, dir, want, measured)
}

// What ends a run is one line, and a full disk is told once.
func TestAndThen(t *testing.T) {
	full, other := fmt.Errorf("write steps.jsonl: %w", unix.ENOSPC), errors.New("out of reach")
	for _, c := range []struct {
		name       string
		first, two error
		want       string
	}{
		{"nothing", nil, nil, ""},
		{"the first", other, nil, "out of reach"},
		{"the second", nil, full, "write steps.jsonl: no space left on device"},
		{"both", other, full, "out of reach; nor could it be saved: write steps.jsonl: no space left on device"},
		{"a full disk twice", full, fmt.Errorf("checkpoint: %w", unix.ENOSPC), "write steps.jsonl: no space left on device"},
	} {
		got := ""
		if err := andThen(c.first, "nor could it be saved", c.two); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// An interrupt is what it was asked to be, unless something else failed that a run
// which goes on by itself would not know of.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	asked := fmt.Errorf("sample: %w", ctx.Err())
	full := fmt.Errorf("write x: %w", unix.EIO)
	for _, c := range []struct {
		name string
		err  error
		is   bool // ErrInterrupted
		want string
	}{
		{"asked for", asked, true, "interrupted"},
		{"another error", full, false, "write x: input/output error"},
		{"and what then failed", andThen(asked, notTakenBack, full), false, "interrupted, nor could it be taken back what was sampled from it: write x: input/output error"},
		{"in another", fmt.Errorf("step 3: %w", andThen(asked, notTakenBack, full)), false, "interrupted, nor could it be taken back what was sampled from it: write x: input/output error"},
		{"and what was broken off", andThen(asked, notTakenBack, asked), true, "interrupted"},
		{"a failure, and what was broken off then", andThen(full, notTakenBack, asked), false, "write x: input/output error"},
	} {
		if got := interrupted(ctx, c.err); errors.Is(got, ErrInterrupted) != c.is || got.Error() != c.want {
			t.Errorf("%s: %q, %t, want %q", c.name, got, errors.Is(got, ErrInterrupted), c.want)
		}
	}
}
