package journal

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func create(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Create(path, Info{ID: "abc", Seed: 7}, []byte("steps: 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestADirectoryHoldsOneRunAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "run")
	if _, _, err := Open(path); !errors.Is(err, ErrNoRun) {
		t.Errorf("open where nothing is: %v, want ErrNoRun", err)
	}
	d := create(t, path)
	if _, _, err := Open(path); !errors.Is(err, ErrInUse) {
		t.Errorf("open twice: %v, want ErrInUse", err)
	}
	if err := d.AppendStep(Step{}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, Info{}, nil); !errors.Is(err, ErrExists) {
		t.Errorf("create over a run: %v, want ErrExists", err)
	}
	again, info, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.ID != "abc" || info.Seed != 7 {
		t.Errorf("run.json came back as %+v", info)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// A run that failed before its first step is in nobody's way, but its versions stay used.
func TestARunThatRecordedNothingIsStartedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d := create(t, path)
	if _, err := d.ReserveVersion(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.AppendValidation(Validation{}), d.Close()); err != nil {
		t.Fatal(err)
	}
	d, err := Create(path, Info{ID: "def"}, []byte("steps: 4\n"))
	if err != nil {
		t.Fatal(err)
	}
	if past, err := d.Validations(); len(past) > 0 || err != nil {
		t.Errorf("measurements of the first attempt: %v, %v", past, err)
	}
	if v, err := d.ReserveVersion(); v != 2 || err != nil {
		t.Errorf("the first version of the second attempt is %d, %v; want 2", v, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, info, err := Open(path)
	if err != nil || info.ID != "def" {
		t.Fatalf("run.json came back as %+v, %v", info, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestVersionsAreNeverUsedTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d := create(t, path)
	for want := int64(1); want <= 5; want++ {
		got, err := d.ReserveVersion()
		if err != nil || got != want {
			t.Fatalf("version %d, %v; want %d", got, err, want)
		}
		if want == 3 { // as after a crash
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if d, _, err = Open(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStepsSurviveATornLineAndCanBeRewound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d := create(t, path)
	for s := range 4 {
		if err := d.AppendStep(Step{Step: s, ScoreMean: float64(s) / 8}); err != nil {
			t.Fatal(err)
		}
	}
	before, err := d.Steps()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(path, "steps.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"step":4,"critic/sc`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if d, _, err = Open(path); err != nil {
		t.Fatal(err)
	}
	after, err := d.Steps()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("a torn line changed the whole ones:\n%s", diff)
	}
	if err := d.Rewind(2); err != nil {
		t.Fatal(err)
	}
	if err := d.AppendStep(Step{Step: 2}); err != nil {
		t.Fatal(err)
	}
	got, err := d.Steps()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[1].ScoreMean != 0.125 || got[2].ScoreMean != 0 {
		t.Errorf("after rewinding to step 2 and recording it again: %+v", got)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStepKeysAreVerls(t *testing.T) {
	b, err := json.Marshal(Step{})
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(b, &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{
		"actor/pg_loss", "actor/pg_clipfrac", "actor/pg_clipfrac_lower", "actor/ppo_kl", "actor/grad_norm", "actor/entropy", "actor/lr",
		"critic/score/mean", "response_length/mean", "response_length/clip_ratio", "timing_s/gen", "timing_s/step", "perf/throughput",
	} {
		if _, ok := keys[k]; !ok {
			t.Errorf("a step's record has no %s", k)
		}
	}
}

func TestCheckpoints(t *testing.T) {
	d := create(t, filepath.Join(t.TempDir(), "run"))
	if dir, _, _, err := d.Resumable(); dir != "" || err != nil {
		t.Fatalf("newest of none: %q, %v", dir, err)
	}
	save := func(next int, fail error) error {
		p := Progress{NextStep: next, Cursor: json.RawMessage(`{"ordinal":5}`), Tokens: int64(next)}
		return d.WriteCheckpoint(p, int64(next), Keep{Newest: 2}, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "model.safetensors"), []byte{byte(next)}, 0o666)
		}, func(dir string) error {
			return errors.Join(fail, os.WriteFile(filepath.Join(dir, "optimizer"), []byte{byte(next)}, 0o666))
		})
	}
	for _, next := range []int{10, 20, 30} {
		if err := save(next, nil); err != nil {
			t.Fatal(err)
		}
	}
	// As a process that was killed while it removed one has left it.
	killed := d.CheckpointPath(10)
	if err := errors.Join(os.Mkdir(killed, 0o755), os.WriteFile(filepath.Join(killed, "COMPLETE.pending"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := save(40, nil); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left on device")
	if err := save(50, full); !errors.Is(err, full) || !strings.Contains(err.Error(), "step-000050") {
		t.Fatalf("a failing checkpoint: %v", err)
	}
	dir, p, _, err := d.Resumable()
	if err != nil {
		t.Fatal(err)
	}
	if p.NextStep != 40 || dir != d.CheckpointPath(40) || p.Tokens != 40 {
		t.Errorf("newest is %s with %+v, want step 40: the failed one must not count", dir, p)
	}
	if err := os.WriteFile(filepath.Join(d.CheckpointPath(30), "COMPLETE"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for next, want := range map[int]bool{30: false, 40: true, 50: false} { // damaged, whole, never written
		if has, err := d.HasCheckpoint(next); has != want || err != nil {
			t.Errorf("checkpoint %d: %t, %v", next, has, err)
		}
	}
	left, err := os.ReadDir(filepath.Join(d.Path(), "checkpoints"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"step-000030", "step-000040"}, names); diff != "" {
		t.Errorf("kept two, and nothing half-written (-want +got):\n%s", diff)
	}
}

// What a killed process left half-written goes; what is not this package's stays.
func TestOpenSweepsItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run[1") // a pattern's beginning
	d := create(t, path)
	if err := errors.Join(d.AppendStep(Step{}), d.WriteRollouts(0, nil), d.WriteRollouts(1, nil), d.Close()); err != nil {
		t.Fatal(err)
	}
	ours := []string{".steps.jsonl-123", ".run.json-7", "rollouts/.step-000012.jsonl-99", "eval/step-000003/.held out.jsonl-4"}
	others := []string{".pre-commit-config.yaml", ".steps.jsonl-backup", ".Trash-1000/x", "rollouts/.step-one", "eval/.notes.jsonl-1", "eval/step-000003/held.jsonl-4"}
	for _, name := range append(ours, others...) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(path, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, _, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range ours {
		if _, err := os.Stat(filepath.Join(path, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range others {
		if _, err := os.Stat(filepath.Join(path, name)); err != nil {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
