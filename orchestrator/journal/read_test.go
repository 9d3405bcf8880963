package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A run is read while another holds its lock, and while it writes a line.
func TestReadingNeedsNoLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d := create(t, path)
	for i := range 3 {
		if err := d.AppendStep(Step{Step: i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(d.WriteRollouts(11, nil), d.WriteRollouts(2, nil), d.WriteAnswers(50, "b", nil), d.WriteAnswers(0, "b", nil), d.WriteAnswers(0, "a", nil)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(StepsPath(path), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"step":3,"critic`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"eval/step-000007", "rollouts/step-000008.jsonl.d"} { // without a set, and no file
		if err := os.MkdirAll(filepath.Join(path, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"eval/step-000050/.b.jsonl-123", "eval/notes", "rollouts/step-9.jsonl", "rollouts/.step-000009.jsonl-1", "rollouts/step-000010.jsonl.gz", "rollouts/step-000002.jsonl"} {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}

	info, err := ReadInfo(path)
	if err != nil || info.ID != "abc" {
		t.Errorf("run.json: %+v, %v", info, err)
	}
	var steps []int
	for s, err := range Lines[Step](StepsPath(path)) {
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, s.Step)
	}
	rollouts, err := RolloutSteps(path)
	if err != nil {
		t.Error(err)
	}
	evaluations, err := Evaluations(path)
	if err != nil {
		t.Error(err)
	}
	for _, diff := range []string{
		cmp.Diff([]int{0, 1, 2}, steps),
		cmp.Diff([]int{2, 11}, rollouts),
		cmp.Diff([]Evaluation{{0, []string{"a", "b"}}, {50, []string{"b"}}}, evaluations),
	} {
		if diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if _, finished, err := ReadSummary(path); finished || err != nil {
		t.Errorf("a run without a summary has finished: %t, %v", finished, err)
	}
	if err := d.WriteSummary(Summary{Steps: 3}); err != nil {
		t.Fatal(err)
	}
	if s, finished, err := ReadSummary(path); !finished || err != nil || s.Steps != 3 {
		t.Errorf("the summary: %+v, %t, %v", s, finished, err)
	}
	if dir, err := NewestCheckpoint(path); dir != "" || err != nil {
		t.Errorf("the newest checkpoint of none: %q, %v", dir, err)
	}
	b, err := os.ReadFile(StepsPath(path))
	if err != nil || !strings.HasSuffix(string(b), `"critic`) {
		t.Errorf("reading changed the file: %v", err)
	}
}

func TestReadingWhatIsNotThere(t *testing.T) {
	path := t.TempDir()
	if _, err := ReadInfo(path); !errors.Is(err, ErrNotRun) || !strings.Contains(err.Error(), path) {
		t.Errorf("run.json: %v; want ErrNotRun that names the folder", err)
	}
	for s, err := range Lines[Step](StepsPath(path)) {
		t.Errorf("a file that is not there has a line: %+v, %v", s, err)
	}
	rollouts, err1 := RolloutSteps(path)
	evaluations, err2 := Evaluations(path)
	if err := errors.Join(err1, err2); err != nil || rollouts != nil || evaluations != nil {
		t.Errorf("%v, %v, %v", rollouts, evaluations, err)
	}
}

// Whatever a file holds: its whole lines up to the first that is none, which is named.
func FuzzLines(f *testing.F) {
	f.Add([]byte("{\"step\":1}\n{\"step\":2}\n"))
	f.Add([]byte("{\"step\":1}\nx\n{\"step\":2}\n"))
	f.Add([]byte("{\"step\":1}\n\n"))
	f.Add([]byte("{\"step\":1}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "steps.jsonl")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		whole, got, failed := strings.Count(string(text), "\n"), 0, false
		for _, err := range Lines[Step](path) {
			if failed {
				t.Fatal("something follows an error")
			}
			if err != nil {
				failed = true
				if !strings.Contains(err.Error(), path+":") {
					t.Errorf("%v does not name the line", err)
				}
				continue
			}
			got++
		}
		if got > whole || !failed && got != whole {
			t.Errorf("%d of %d lines, failed: %t", got, whole, failed)
		}
	})
}
