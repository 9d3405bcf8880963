package orchestrator

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// Every answer is written down with its problem, and both accuracies are those of the answers.
func TestValidationKeepsItsAnswers(t *testing.T) {
	for _, n := range []int{0, 5} {
		c := testConfig(t)
		c.Validation.SampledN = n
		dir := filepath.Join(t.TempDir(), "run")
		w := &world{}
		r, done := newRun(t, w, c, dir)
		r.HeldOut[0].Rows[0].Problem = sampler.Problem{ID: "q", Question: "1 < 2?", Answer: "yes"}
		r.HeldOut = append(r.HeldOut, HeldOut{Name: "other", Rows: []sampler.Row{{Ordinal: 901, PromptTokenIDs: []int32{2}}, {Ordinal: 902, PromptTokenIDs: []int32{3}}}})
		s, err := r.Train(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done()
		_, validations := recordsOf(t, dir)
		if len(validations) != 3 {
			t.Fatalf("%d validations, want 3", len(validations))
		}
		for _, v := range validations {
			for set, rows := range map[string]int{"set": 1, "other": 2} {
				greedy, sampled := shares(t, journal.AnswersPath(dir, v.Steps, set), rows, n)
				if greedy != v.Accuracy[set] || sampled != v.Sampled[set] {
					t.Errorf("after %d steps %s has accuracies %v and %v, its answers %v and %v", v.Steps, set, v.Accuracy[set], v.Sampled[set], greedy, sampled)
				}
			}
			if (v.Sampled != nil) != (n > 0) {
				t.Errorf("sampled_n is %d, and the record has %v", n, v.Sampled)
			}
		}
		first, last := validations[0], validations[2]
		want := map[string]journal.FirstAndLast{}
		for set := range first.Sampled {
			want[set] = journal.FirstAndLast{First: first.Sampled[set], Last: last.Sampled[set]}
		}
		if d := cmp.Diff(want, s.Sampled); d != "" {
			t.Errorf("the summary's sampled (-want +got):\n%s", d)
		}
		if got := s.Validation["set"]; got != (journal.FirstAndLast{First: first.Accuracy["set"], Last: last.Accuracy["set"]}) {
			t.Errorf("the summary's validation is %+v", got)
		}
	}
}

// shares reads a file of answers and returns the right ones' share of either kind.
func shares(t *testing.T, path string, rows, sampledN int) (greedy, sampled float64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := map[bool]float64{}
	right := map[bool]float64{}
	for line := range bytes.Lines(b) {
		var a journal.Answer
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatal(err)
		}
		if a.ProblemID == "q" && (a.Question != "1 < 2?" || a.GroundTruth != "yes") || a.Tokens != 2 || a.FinishReason != "stop" {
			t.Errorf("%s: %+v", path, a)
		}
		n[a.Sampled]++
		if a.Correct {
			right[a.Sampled]++
		}
	}
	if n[false] != float64(rows) || n[true] != float64(rows*sampledN) {
		t.Fatalf("%s has %v answers and %v sampled, want %d and %d", path, n[false], n[true], rows, rows*sampledN)
	}
	return right[false] / max(n[false], 1), right[true] / max(n[true], 1)
}
