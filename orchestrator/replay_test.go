package orchestrator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

// finished is a run of four steps with checkpoints after two and four, whose
// directory is still locked.
func finished(t *testing.T, shuffled bool) (string, config.Config) {
	t.Helper()
	c := testConfig(t)
	c.Reward.ShuffleControl = shuffled
	dir := filepath.Join(t.TempDir(), "run")
	r, done := newRun(t, &world{}, c, dir)
	t.Cleanup(done)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir, c
}

func replay(t *testing.T, dir string, c config.Config, step int) (Replayed, error) {
	t.Helper()
	w := &world{t: t}
	return Replay{
		Run: dir, Config: c, Step: step, Updater: worldUpdater{w},
		SHA256: func(context.Context) (string, error) { return fmt.Sprint(w.weight), nil },
	}.Do(t.Context())
}

func TestReplayIsTheSame(t *testing.T) {
	for _, shuffled := range []bool{false, true} {
		dir, c := finished(t, shuffled)
		before := contents(t, dir)
		for step, from := range []int{0, 0, 2, 2} {
			got, err := replay(t, dir, c, step)
			if err != nil {
				t.Fatal(err)
			}
			if d := got.Differences(); len(d) > 0 {
				t.Errorf("step %d, shuffled %t: differs in %v", step, shuffled, d)
			}
			if got.From != from || (got.Checkpoint == "") != (from == 0) {
				t.Errorf("step %d began with %q after %d steps, want %d", step, got.Checkpoint, got.From, from)
			}
			keys := map[string]bool{}
			for _, f := range got.Figures {
				if f.Step == step {
					keys[f.Key] = true
				}
			}
			for _, key := range []string{"actor/pg_loss", "updates[0]/actor/pg_loss", "updates[1]/actor/grad_norm", "mismatch/kl", "critic/score/mean", "reward/correct", "response_length/max", "weights_sha256"} {
				if !keys[key] {
					t.Errorf("step %d: %s was not compared", step, key)
				}
			}
		}
		if d := cmp.Diff(before, contents(t, dir)); d != "" {
			t.Errorf("a replay changed the run directory:\n%s", d)
		}
	}
}

// A checkpoint that is not as it was written is refused as a resume refuses it.
func TestReplayRefusesADamagedCheckpoint(t *testing.T) {
	dir, c := finished(t, false)
	damage(t, dir, 2, "trainer/state")
	_, err := replay(t, dir, c, 3)
	if want := "step-000002: changed since it was published: trainer/state; "; err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line with %q", err, want)
	}
	if _, err := replay(t, dir, c, 1); err != nil { // it needs none
		t.Error(err)
	}
}

// contents are all files of a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var b []byte
			b, err = os.ReadFile(path)
			files[path] = string(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// asLines makes the rollouts of a step those of an older build, and returns their file.
func asLines(t *testing.T, dir string, step int) string {
	t.Helper()
	var text bytes.Buffer
	if err := journal.ExportRollouts(&text, dir, step); err != nil {
		t.Fatal(err)
	}
	path := journal.RolloutsPath(dir, step)
	lines := strings.TrimSuffix(path, ".parquet") + ".jsonl"
	if err := errors.Join(os.WriteFile(lines, text.Bytes(), 0o644), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	if got := journal.RolloutsPath(dir, step); got != lines {
		t.Fatalf("%s is read, not %s", got, lines)
	}
	return lines
}

// Runs of builds that kept JSON Lines replay as they are.
func TestReplayOfAnOlderBuildsRun(t *testing.T) {
	dir, c := finished(t, false)
	for step := range 4 {
		asLines(t, dir, step)
	}
	got, err := replay(t, dir, c, 3)
	if err != nil || len(got.Differences()) > 0 {
		t.Errorf("%v, %v", err, got.Differences())
	}
}

func TestReplayFindsWhatChanged(t *testing.T) {
	edit := func(t *testing.T, path, from, to string) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(b), from, to, 1)
		if changed == string(b) {
			t.Fatalf("%s has no %s", path, from)
		}
		if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, dir string)
		want   []string // step/key of some that must differ
	}{
		{"a reward of the step", func(t *testing.T, dir string) {
			edit(t, asLines(t, dir, 3), `"reward":-1`, `"reward":1`)
		}, []string{"3/critic/score/mean", "3/actor/pg_loss", "3/updates[0]/actor/pg_loss", "3/weights_sha256"}},
		{"a reward of a step before it", func(t *testing.T, dir string) {
			edit(t, asLines(t, dir, 2), `"reward":-1`, `"reward":1`)
		}, []string{"2/critic/score/mean", "3/actor/pg_loss", "3/weights_sha256"}},
		{"an answer's length", func(t *testing.T, dir string) {
			edit(t, asLines(t, dir, 3), `"token_ids":[1,2],"logprobs":null`, `"token_ids":[1,2,2],"logprobs":null`)
		}, []string{"3/response_length/mean", "3/response_length/max", "3/perf/total_num_tokens"}},
		{"the record", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "steps.jsonl"), `"step":3,`, `"step":4,`)
			edit(t, filepath.Join(dir, "steps.jsonl"), `"step":2,`, `"step":3,`)
			edit(t, filepath.Join(dir, "steps.jsonl"), `"step":1,`, `"step":2,`)
		}, []string{"2/actor/pg_loss", "3/weights_sha256"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, c := finished(t, false)
			tc.change(t, dir)
			got, err := replay(t, dir, c, 3)
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]bool{}
			for _, f := range got.Differences() {
				found[fmt.Sprint(f.Step, "/", f.Key)] = true
			}
			for _, w := range tc.want {
				if !found[w] {
					t.Errorf("%s is not among the differences %v", w, got.Differences())
				}
			}
		})
	}
}

// What a replay cannot do it says before it trains anything.
func TestReplayRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		step   int
		change func(dir string) error
		want   string
	}{
		{"rollouts that were dropped", 3, func(dir string) error { return os.Remove(journal.RolloutsPath(dir, 2)) }, "step-000002.parquet is not there"},
		{"a step that was never done", 9, func(string) error { return nil }, "has no step 9: it records 4 steps"},
		{"rollouts that are damaged", 2, func(dir string) error { return os.Truncate(journal.RolloutsPath(dir, 2), 100) }, "step-000002.parquet: "},
		{"no rollouts", 2, func(dir string) error {
			return errors.Join(os.Remove(journal.RolloutsPath(dir, 2)), os.WriteFile(filepath.Join(dir, "rollouts/step-000002.jsonl"), nil, 0o644))
		}, "has no rollouts"},
		{"records that are damaged", 2, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "steps.jsonl"), []byte("{\n"), 0o644)
		}, "steps.jsonl:1"},
		{"no records", 2, func(dir string) error { return os.Remove(filepath.Join(dir, "steps.jsonl")) }, "steps.jsonl"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, c := finished(t, false)
			if err := tc.change(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := replay(t, dir, c, tc.step); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, tc.want)
			}
		})
	}
}
