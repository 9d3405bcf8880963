package report

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/journal"
)

// A reader sees where a run was resumed, and what was other then.
func TestResumesAreShown(t *testing.T) {
	at := time.Date(2026, 11, 27, 1, 2, 3, 0, time.UTC)
	same := journal.Resume{Time: at, NextStep: 50, Version: "v", Host: "h", CPUs: 2}
	other := same
	other.NextStep, other.Recipe, other.Changed, other.Damaged = 1100, []string{"seed is 2, was 1"}, []string{"a is 1, was 2", "b is 1, was 2"}, []string{"step-001150: changed"}
	want := []fact{
		{"resumed at step 51", "2026-11-27 01:02:03, justrl v on h with 2 CPUs"},
		{"resumed at step 1,101", "2026-11-27 01:02:03, justrl v on h with 2 CPUs; another recipe: seed is 2, was 1; changed: a is 1, was 2, b is 1, was 2; damaged checkpoints: step-001150: changed"},
	}
	got := resumeFacts([]journal.Resume{same, other})
	for i := range got { // numbers have spaces that do not break
		got[i].Name, got[i].Value = strings.ReplaceAll(got[i].Name, "\u00a0", " "), strings.ReplaceAll(got[i].Value, "\u00a0", " ")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	many := resumeFacts(make([]journal.Resume, 60))
	if len(many) != mostResumes+1 || !strings.HasPrefix(strings.ReplaceAll(many[0].Value, "\u00a0", " "), "10 older times") {
		t.Errorf("%d rows, the first %v", len(many), many[0])
	}

	dir := filepath.Join(t.TempDir(), "run")
	fixture(t, dir)
	write(t, dir, "resumes.jsonl", []byte(`{"next_step":2,"recipe":["seed is <2>, was 1"]}`+"\n"))
	if page := pageOf(t, dir); !strings.Contains(page, "resumed at step 3") || !strings.Contains(page, "seed is &lt;2&gt;, was 1") {
		t.Error("the page does not have them")
	}
}
