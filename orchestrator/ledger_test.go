package orchestrator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// scriptedServer answers with the stream of each sample and counts who asked.
type scriptedServer struct {
	mu    sync.Mutex
	asked map[string]int // prompt/sample → times
}

func (s *scriptedServer) Generate(_ context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]sampler.Rollout, r.Count)
	for i := range out {
		j := r.First + i
		s.asked[fmt.Sprint(r.PromptTokenIDs[0], "/", j)]++
		out[i] = sampler.Rollout{
			Sample: j, TokenIDs: []int32{int32(j), 5}, Logprobs: []float32{-0.1, -1.0 / 3}, FinishReason: sampler.FinishStop,
			Text: fmt.Sprintf("<%d>", r.Seed+int64(j)),
		}
	}
	return out, nil
}

type lengthVerifier struct{}

func (lengthVerifier) Verify(_ context.Context, text, truth string) (sampler.Score, error) {
	right := len(text)%2 == len(truth)%2
	return sampler.Score{Reward: map[bool]float64{true: 1, false: -1}[right], Correct: right, Answer: text}, nil
}

func ledgerRows(n int) []sampler.Row {
	rows := make([]sampler.Row, n)
	for i := range rows {
		rows[i] = sampler.Row{Ordinal: int64(40 + i), PromptTokenIDs: []int32{int32(i), 3}, Problem: sampler.Problem{ID: fmt.Sprint("p", i%2), Answer: fmt.Sprint(i)}}
	}
	return rows
}

// resumeStep samples a step as a run does, and returns what it came to and who was asked.
func resumeStep(t *testing.T, d *journal.Dir, version int64, rows []sampler.Row, n int) ([]sampler.Group, map[string]int, error) {
	t.Helper()
	server := &scriptedServer{asked: map[string]int{}}
	l, err := openLedger(d, 4, n)
	if err != nil {
		return nil, nil, err
	}
	if err := l.claim(rows, false); err != nil {
		return nil, nil, errors.Join(err, l.file.Close())
	}
	s := &sampler.Sampler{Generator: server, Verifier: lengthVerifier{}, Concurrency: 2, VerifyConcurrency: 2}
	groups, err := s.Continue(t.Context(), rows, sampler.Params{N: n, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: 9, Logprobs: true}, sampler.StepSeeds(1, 4), version, l)
	return groups, server.asked, errors.Join(err, l.file.Close())
}

func runDir(t *testing.T) *journal.Dir {
	t.Helper()
	d, err := journal.Create(filepath.Join(t.TempDir(), "run"), journal.Info{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// A process that is killed leaves the file cut somewhere. Wherever that is, the
// next one ends with the same groups, asks for exactly what is missing, and
// leaves each sample in the file once.
func TestStepResumesFromEveryByte(t *testing.T) {
	const n = 2
	rows := ledgerRows(2)
	dir := runDir(t)
	want, asked, err := resumeStep(t, dir, 7, rows, n)
	if err != nil || len(asked) != len(rows)*n {
		t.Fatalf("undisturbed: %d samples asked for, %v", len(asked), err)
	}
	path := filepath.Join(dir.Path(), "rollouts", "step-000004.partial.jsonl")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		got, asked, err := resumeStep(t, dir, 8, rows, n)
		if err != nil {
			t.Fatalf("cut at byte %d: %v", cut, err)
		}
		if d := cmp.Diff(want, got, cmpopts.IgnoreFields(sampler.Rollout{}, "WeightsVersion")); d != "" {
			t.Fatalf("cut at byte %d: the groups differ (-want +got):\n%s", cut, d)
		}
		kept := bytes.Count(whole[:cut], []byte("\n"))
		if len(asked) != len(rows)*n-kept {
			t.Fatalf("cut at byte %d: %d samples were kept, and %d asked for", cut, kept, len(asked))
		}
		old := 0
		for _, g := range got {
			for _, o := range g.Rollouts {
				id := fmt.Sprint(g.Row.PromptTokenIDs[0], "/", o.Sample)
				if o.WeightsVersion == 7 {
					old++
				}
				if (o.WeightsVersion == 7) == (asked[id] == 1) || asked[id] > 1 {
					t.Fatalf("cut at byte %d: sample %s of version %d was asked for %d times", cut, id, o.WeightsVersion, asked[id])
				}
			}
		}
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if old != kept || bytes.Count(after, []byte("\n")) != len(rows)*n {
			t.Fatalf("cut at byte %d: %d of %d kept rollouts came back, %d lines are in the file", cut, old, kept, bytes.Count(after, []byte("\n")))
		}
	}
}

// Rollouts of another prompt are never trained on.
func TestRolloutsOfAnotherStepAreRefused(t *testing.T) {
	rows := ledgerRows(2)
	for _, tc := range []struct {
		name string
		rows []sampler.Row
		n    int
		want string
	}{
		{"another prompt", []sampler.Row{rows[0], {Ordinal: 41, PromptTokenIDs: []int32{9}}}, 2, "its prompt is not the one that row 41 has now"},
		{"another row", rows[:1], 2, "row 41 is none of the step's"},
		{"fewer samples", rows, 1, "sample 1 is none of the row's 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := runDir(t)
			if _, _, err := resumeStep(t, dir, 1, rows, 2); err != nil {
				t.Fatal(err)
			}
			_, _, err := resumeStep(t, dir, 2, tc.rows, tc.n)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "step-000004.partial.jsonl:") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q and the line of the file", err, tc.want)
			}
		})
	}
}

// A step that was trained on once comes back as it was trained on, or not at all.
func TestWholeStep(t *testing.T) {
	rows := ledgerRows(2)
	d := runDir(t)
	groups, _, err := resumeStep(t, d, 3, rows, 2)
	if err != nil {
		t.Fatal(err)
	}
	shuffleRewards(groups, 1, 4)
	if err := d.WriteRollouts(4, forJournal(groups)); err != nil {
		t.Fatal(err)
	}
	recorded, err := journal.ReadRollouts(d.Path(), 4)
	if err != nil {
		t.Fatal(err)
	}
	got, err := wholeStep("f", rows, 2, 0, recorded)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(groups, got); diff != "" {
		t.Errorf("(-trained on +read):\n%s", diff)
	}
	if _, err := wholeStep("f", rows, 2, 0, recorded[1:]); err == nil || !strings.Contains(err.Error(), "f: has 1 of the 2 rollouts of row 40") {
		t.Errorf("with a rollout missing: %v", err)
	}
}

// However few rollouts are to be kept, a resume from the newest checkpoint finds all it
// needs, and one from the checkpoint before it too.
func TestRetentionKeepsWhatAResumeNeeds(t *testing.T) {
	c := testConfig(t)
	c.Steps, c.Checkpoint.Every, c.Checkpoint.Rollouts, c.Validation.Every = 7, 3, 1, 0
	dir := filepath.Join(t.TempDir(), "run")
	kept := func() string {
		files, err := filepath.Glob(filepath.Join(dir, "rollouts", "step-*"))
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range files {
			files[i] = strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "step-00000"), ".jsonl")
			files[i] = strings.TrimSuffix(files[i], ".parquet")
		}
		return strings.Join(files, " ")
	}
	w := &world{}
	r, done := newRun(t, w, c, dir)
	defer done()
	var seen []string
	w.onUpdate = func(int) error { seen = append(seen, kept()); return nil }
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"0.partial", "0 1.partial", "0 1 2.partial", "2 3.partial", "3 4.partial", "3 4 5.partial", "3 4 5 6.partial"}
	if d := cmp.Diff(want, seen); d != "" {
		t.Errorf("during the steps there are rollouts of (-want +got):\n%s", d)
	}
	if got := kept(); got != "6" {
		t.Errorf("at the end there are rollouts of %q, want 6", got)
	}
}

// Old checkpoints that stay (the best, multiples) do not keep old rollouts.
func TestRetentionIsBounded(t *testing.T) {
	c := testConfig(t)
	c.Steps, c.Checkpoint.Every, c.Checkpoint.Keep, c.Checkpoint.KeepEvery, c.Checkpoint.Rollouts, c.Validation.Every = 16, 2, 2, 6, 1, 2
	dir, steps, most := filepath.Join(t.TempDir(), "run"), 0, 0
	w := &world{}
	w.verdict = func(ordinal int64, was bool) bool {
		if ordinal == 900 { // the first measurement is the best
			return steps == 2
		}
		return was
	}
	w.onUpdate = func(step int) error {
		steps = step + 1
		files, err := filepath.Glob(filepath.Join(dir, "rollouts", "step-*.parquet"))
		most = max(most, len(files))
		return err
	}
	r, done := newRun(t, w, c, dir)
	defer done()
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	if has, err := r.Journal.HasCheckpoint(2); !has || err != nil {
		t.Errorf("the best is gone, %v", err)
	}
	if limit := 2*c.Checkpoint.Every + 1; most > limit { // docs/rundir.md
		t.Errorf("rollouts of %d finished steps were there at once, want at most %d", most, limit)
	}
}

// A step that is sampled anew may lead to other weights: what later steps have
// recorded was not drawn from those.
func TestAStepSampledAnewDropsWhatFollows(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	w := &world{}
	r, done := newRun(t, w, testConfig(t), dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	for _, gone := range []string{"checkpoints", "rollouts/step-000001.parquet"} {
		if err := os.RemoveAll(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	again := &world{served: w.served, asked: w.asked}
	r, done = newRun(t, again, testConfig(t), dir)
	if _, err := r.Train(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	twice := 0
	for _, times := range again.asked {
		twice += times - 1
	}
	if twice != 3*2*3 { // steps 1 to 3, of 2 rows with 3 samples
		t.Errorf("%d samples were asked for again, want those of steps 1 to 3", twice)
	}
}
