package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/orchestrator/journal"
)

// A step is written down once more, whole, and each part has its figures.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	run, again := filepath.Join(dir, "run"), filepath.Join(dir, "again")
	d, err := journal.Create(run, journal.Info{ID: "abc"}, []byte("steps: 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // nothing is lost
	rollouts := []journal.Rollout{{ProblemID: "a", PromptTokenIDs: []int32{5}, TokenIDs: []int32{1, 2}, Text: "so", FinishReason: "stop"}, {ProblemID: "a", Sample: 1, PromptTokenIDs: []int32{5}, TokenIDs: []int32{3}, Text: "no", FinishReason: "stop"}}
	step := journal.Step{Total: 2.5, ScoreMean: 0.25}
	if err := d.WriteRollouts(0, rollouts); err != nil {
		t.Fatal(err)
	}
	s := &shadow{}
	parts, err := s.write(t.Context(), run, again, step)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if !(p.Clock > 0) || !(p.CPU >= 0) {
			t.Errorf("%+v", p)
		}
	}
	a, errA := os.ReadFile(journal.RolloutsPath(run, 0))
	b, errB := os.ReadFile(journal.RolloutsPath(again, 0))
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("other rollouts: %v, %v", errA, errB)
	}
	if b, err := os.ReadFile(journal.StepsPath(again)); err != nil || !strings.Contains(string(b), `"critic/score/mean":0.25`) {
		t.Errorf("%v: %s", err, b)
	}
	if s.page.steps != 1 || parts[len(parts)-1].Name != "curves and answers for them" {
		t.Errorf("who follows the page has %d steps: %+v", s.page.steps, parts)
	}
	if boards, err := filepath.Glob(filepath.Join(again, "tb", "*.justrl")); err != nil || len(boards) != 1 {
		t.Errorf("%v, %v", boards, err)
	}
}

func TestSummary(t *testing.T) {
	turns := []turn{
		{Step: 2, StepCPU: 4, Monitor: 0.02, Parts: []cost{{"a", 0.01, 0.02}, {"b", 0.01, 0.02}}},
		{Step: 1, StepCPU: 1, Monitor: 0.01, Parts: []cost{{"a", 0.02, 0.01}, {"b", 0.01, 0.02}}},
	}
	r := summarize(turns)
	if r.Clock.Min != 0.01 || r.Clock.Max != 0.03 || r.CPU.Median < 0.0199 || r.CPU.Median > 0.0201 || r.Parts[0].Clock.Max != 0.02 {
		t.Errorf("%+v", r)
	}
	var out bytes.Buffer
	if err := r.write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 steps", "2.00 (1.00–3.00) %", "20.00 (20.00–20.00)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if p, err := processors(os.Getpid()); err != nil || p < 0 {
		t.Errorf("%g, %v", p, err)
	}
	if _, err := processors(-1); err == nil {
		t.Error("of no process")
	}
}
