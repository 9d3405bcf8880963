//go:build torch

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/tokenizer"
	"github.com/justrl/justrl/updater/torch"
)

// scripted is a fake server whose log-probs are the policy's own, by whatever
// weights it was told to load; its answers are written for it, right or wrong
// by their seed. So a whole run goes against it in seconds, and the same run
// twice is the same.
func scripted(t *testing.T, change func(*openaitest.Options)) *openaitest.Server {
	t.Helper()
	tok, err := tokenizer.Load(policy)
	if err != nil {
		t.Fatal(err)
	}
	served := &servedModels{t: t, open: map[string]*torch.Trainer{}}
	t.Cleanup(served.close)
	question := regexp.MustCompile(`(\d+) (?:\+|and) (\d+)`)
	return serve(t, func(o *openaitest.Options) {
		o.Encode, o.EOS = tok.Encode, tok.EOS()[0]
		o.Decode = func(ids []int32) string { return tok.Decode(ids, true) }
		o.Logprobs = served.logprobs
		o.Script = func(prompt []int32, seed int64) []int32 {
			m := question.FindStringSubmatch(tok.Decode(prompt, true))
			if m == nil {
				return nil // a start's questions about the server: it samples
			}
			answer := 0
			for _, n := range m[1:] {
				x, _ := strconv.Atoi(n)
				answer += x
			}
			if seed%3 != 0 {
				answer += int(seed % 3)
			}
			return append(tok.Encode(`The answer is \boxed{`+strconv.Itoa(answer)+`}.`), tok.EOS()[0])
		}
		if change != nil {
			change(o)
		}
	})
}

// servedModels scores with the weights of folders, each opened once.
type servedModels struct {
	t    *testing.T
	mu   sync.Mutex
	open map[string]*torch.Trainer
}

func (m *servedModels) logprobs(dir string, ids []int32) []float32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open[dir] == nil {
		tr, err := torch.Open(context.Background(), torch.Options{Dir: dir, Threads: 1})
		if err != nil {
			m.t.Errorf("the fake server cannot load %s: %v", dir, err)
			return make([]float32, len(ids))
		}
		m.open[dir] = tr
	}
	s, err := m.open[dir].Score(context.Background(), [][]int32{ids}, 1)
	if err != nil {
		m.t.Errorf("the fake server cannot score: %v", err)
		return make([]float32, len(ids))
	}
	return s[0].Logprobs
}

func (m *servedModels) close() {
	for _, tr := range m.open {
		if err := tr.Close(); err != nil {
			m.t.Error(err)
		}
	}
}

// small is a run of a few steps against a scripted server.
func small(server *openaitest.Server, out string, more ...string) []string {
	return append([]string{"run", "--server", server.URL, "--preset", "tiny-cpu", "--model", policy, "--data", train, "--out", out,
		"--threads", "1", "--set", "sampling.batch=8", "--set", "update.mini_batch=2", "--set", "sampling.n=4", "--set", "optimizer.warmup_steps=1"}, more...)
}

// The whole loop: every step is sampled with the version that the step before
// made live, and trains on what the server said.
func TestRunAgainstFake(t *testing.T) {
	server := scripted(t, nil)
	out := filepath.Join(t.TempDir(), "run")
	r := must(t, small(server, out, "--steps", "3", "--validation", heldOut)...)
	s := summary(t, out)
	if !strings.Contains(r.stdout, "reward") || !strings.Contains(r.stdout, out) || !strings.Contains(r.stdout, "heldout") {
		t.Errorf("the last words are %q", r.stdout)
	}
	all := steps(t, out, 3)
	for _, step := range all {
		if !step.Canary.Passed || step.Canary.Changed != (step.Step > 0) { // step 0 has learning rate 0
			t.Errorf("step %d: canary %+v", step.Step, step.Canary)
		}
		if m := step.Mismatch; m.Tokens == 0 || m.RatioMax > 1.0001 {
			t.Errorf("step %d: mismatch %+v: the server serves the trainer's own weights", step.Step, m)
		}
		if len(step.Updates) != 4 {
			t.Errorf("step %d: %d updates, want 4", step.Step, len(step.Updates))
		}
		if want := int(step.WeightsVersion); want != step.Step+1 {
			t.Errorf("step %d was sampled with version %d", step.Step, want)
		}
		if n := len(rollouts(t, out, step.Step)); n != 32 {
			t.Errorf("step %d: %d rollouts in the journal, want 32", step.Step, n)
		}
	}
	if all[0].LR != 0 || all[1].LR != 3e-5 {
		t.Errorf("learning rates %g, %g: want 0 and 3e-5", all[0].LR, all[1].LR)
	}
	if got := sha256Of(t, s.Model); got != s.WeightsSHA256 {
		t.Errorf("the final model's hash is %s, the summary says %s", got, s.WeightsSHA256)
	}
	if before := sha256Of(t, policy); s.WeightsSHA256 == before {
		t.Error("the weights have not changed")
	}
}

// Every request of training says all that decides its distribution.
func TestRequestsSayEverything(t *testing.T) {
	server := scripted(t, nil)
	must(t, small(server, filepath.Join(t.TempDir(), "run"), "--steps", "1", "--set", "checkpoint.rollouts=1")...)
	n := 0
	for _, r := range server.Requests("/v1/completions") {
		var req struct {
			N           int
			Temperature *float64
			TopP        *float64 `json:"top_p"`
			TopK        *int     `json:"top_k"`
			MinP        *float64 `json:"min_p"`
			Seed        *int64
			Logprobs    *int
		}
		if err := json.Unmarshal(r.Body, &req); err != nil {
			t.Fatal(err)
		}
		if req.N != 4 {
			continue // a probe
		}
		n++
		if req.Temperature == nil || *req.Temperature != 1 || req.TopP == nil || *req.TopP != 1 || req.TopK == nil || *req.TopK != -1 ||
			req.MinP == nil || *req.MinP != 0 || req.Seed == nil || req.Logprobs == nil {
			t.Errorf("a training request does not draw from the policy itself: %s", r.Body)
		}
	}
	if n != 8 {
		t.Errorf("%d requests for rows, want 8", n)
	}
}

// The seed decides the rows, the control only whose reward is whose, and only
// the newest rollouts are kept.
func TestSeedControlAndKeeping(t *testing.T) {
	dir := t.TempDir()
	first := func(name string, more ...string) (answers, rewards []string) {
		out := filepath.Join(dir, name)
		must(t, small(scripted(t, nil), out, append([]string{"--steps", "1"}, more...)...)...)
		for _, r := range rollouts(t, out, 0) {
			answers, rewards = append(answers, r.ProblemID+" "+r.Text), append(rewards, fmt.Sprint(r.Reward))
		}
		return answers, rewards
	}
	answers, rewards := first("one")
	others, _ := first("two", "--seed", "2")
	same, shuffled := first("control", "--set", "reward.shuffle_control=true")
	ordered, _ := first("ordered", "--set", "sampling.shuffle=false")
	if slices.Equal(answers, others) {
		t.Error("two seeds draw the same rows")
	}
	if !slices.Equal(answers, same) || slices.Equal(rewards, shuffled) {
		t.Error("the control changed the answers, or left the rewards where they were")
	}
	if slices.Sort(rewards); !slices.Equal(rewards, slices.Sorted(slices.Values(shuffled))) {
		t.Error("the control changed which rewards there are")
	}
	if !strings.HasPrefix(ordered[0], "train-0000 ") || !strings.HasPrefix(ordered[31], "train-0007 ") {
		t.Errorf("without shuffling the first rows are %s to %s", ordered[0], ordered[31])
	}

	out := filepath.Join(dir, "kept")
	must(t, small(scripted(t, nil), out, "--steps", "3", "--set", "checkpoint.rollouts=2")...)
	kept, err := filepath.Glob(filepath.Join(out, "rollouts", "*"))
	if err != nil || len(kept) != 2 || !strings.HasSuffix(kept[0], "step-000001.parquet") {
		t.Errorf("kept %v (%v), want the newest two", kept, err)
	}
}

// A server that acknowledges every reload and keeps its weights is caught by
// the first load that could show it: at step 0 when there is no warm-up.
func TestKeptWeightsAreCaughtInThatStep(t *testing.T) {
	for _, tc := range []struct {
		name   string
		warmup string
		step   int
	}{
		{"no warm-up", "optimizer.warmup_steps=0", 0},
		{"step 0 changes nothing, so it may keep them", "optimizer.warmup_steps=1", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := scripted(t, func(o *openaitest.Options) { o.KeepOldWeights = true })
			out := filepath.Join(t.TempDir(), "run")
			r := justrl(t.Context(), t, small(server, out, "--steps", "5", "--set", tc.warmup)...)
			if r.code != cli.ExitServer {
				t.Errorf("exit code %d, want %d", r.code, cli.ExitServer)
			}
			for _, w := range []string{server.URL, "step " + strconv.Itoa(tc.step), "canary", "acknowledged the reload but still answers"} {
				if !strings.Contains(r.lastLine(), w) {
					t.Errorf("%q does not say %q", r.lastLine(), w)
				}
			}
			// The step was trained and is kept; only its weights are not live.
			all := steps(t, out, tc.step+1)
			if last := all[tc.step].Canary; last.Passed || !last.Changed {
				t.Errorf("the record of the step says %+v", last)
			}
		})
	}
}

// Interrupted and resumed is the same as not interrupted, to the last bit.
func TestInterruptedRunEndsTheSame(t *testing.T) {
	dir := t.TempDir()
	whole, cut := filepath.Join(dir, "whole"), filepath.Join(dir, "cut")
	must(t, small(scripted(t, nil), whole, "--steps", "4")...)

	server := scripted(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	r := justrlTo(ctx, t, &stopAfter{line: "step 2/4", stop: cancel}, small(server, cut, "--steps", "4")...)
	if r.code != cli.ExitInterrupted || !strings.Contains(r.lastLine(), "run --resume --out "+cut) {
		t.Fatalf("exit code %d, last line %q", r.code, r.lastLine())
	}
	if n := countSteps(t, cut); n != 2 {
		t.Fatalf("%d steps recorded after an interrupt behind step 2", n)
	}
	must(t, "run", "--resume", "--server", server.URL, "--out", cut)
	sameRun(t, whole, cut, 4)
}

// A crash leaves the last checkpoint; what came after it happens again, the same.
func TestCrashedRunEndsTheSame(t *testing.T) {
	dir := t.TempDir()
	whole, cut := filepath.Join(dir, "whole"), filepath.Join(dir, "cut")
	must(t, small(scripted(t, nil), whole, "--steps", "4", "--set", "checkpoint.every=2")...)

	// Stopped after step 3; without the checkpoint of the stop it is as if killed.
	server := scripted(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	justrlTo(ctx, t, &stopAfter{line: "step 3/4", stop: cancel}, small(server, cut, "--steps", "4", "--set", "checkpoint.every=2")...)
	dropCheckpoint(t, cut, 3)
	must(t, "run", "--resume", "--server", server.URL, "--out", cut)
	sameRun(t, whole, cut, 4)
}

// What a resumed run was told stays told: the third attempt knows of the four steps.
func TestResumeRemembers(t *testing.T) {
	dir := t.TempDir()
	server, whole, out := scripted(t, nil), filepath.Join(dir, "whole"), filepath.Join(dir, "run")
	must(t, small(scripted(t, nil), whole, "--steps", "4")...)
	must(t, small(server, out, "--steps", "2")...)
	ctx, cancel := context.WithCancel(t.Context())
	r := justrlTo(ctx, t, &stopAfter{line: "step 3/4", stop: cancel}, "run", "--resume", "--out", out, "--steps", "4")
	if r.code != cli.ExitInterrupted || !strings.Contains(r.stderr, "stopping at the next step boundary") {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	must(t, "run", "--resume", "--out", out)
	sameRun(t, whole, out, 4)
	refused(t, cli.ExitUsage, []string{"4 steps", "--steps"}, out, "run", "--resume", "--out", out, "--steps", "2")
	refused(t, cli.ExitUsage, []string{"sampling.n is 8, was 4", "start a new one"}, out, "run", "--resume", "--out", out, "--set", "sampling.n=8")
	all, err := journal.Resumes(out)
	if err != nil || len(all) != 2 || all[0].NextStep != 2 || all[1].NextStep != 3 {
		t.Fatalf("resumes.jsonl has %+v, %v", all, err)
	}
	if !slices.Contains(all[0].Changed, "steps is 4, was 2") || len(all[0].Recipe) > 0 {
		t.Errorf("the first resume changed %q and %q", all[0].Changed, all[0].Recipe)
	}
}

// A checkpoint with a byte of its state changed is not resumed from: the one before it
// is, no sample is asked for again, and the end is the same.
func TestDamagedCheckpointIsFallenBackFrom(t *testing.T) {
	dir := t.TempDir()
	whole, out := filepath.Join(dir, "whole"), filepath.Join(dir, "run")
	every := []string{"--set", "checkpoint.every=1"}
	must(t, small(scripted(t, nil), whole, append(every, "--steps", "4")...)...)
	server := scripted(t, nil)
	must(t, small(server, out, append(every, "--steps", "3")...)...)
	path := filepath.Join(out, "checkpoints", "step-000003", "trainer", "optimizer.safetensors")
	state := content(t, path)
	state[len(state)-1] ^= 1
	write(t, path, string(state))
	before := len(server.Requests(completions))
	r := must(t, "run", "--resume", "--server", server.URL, "--out", out, "--steps", "4", "--threads", "1")
	for _, want := range []string{"step-000003: changed since it was published: trainer/optimizer.safetensors", "goes on from " + filepath.Join(out, "checkpoints", "step-000002"), "steps 2 to 2"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("it does not say %q: %s", want, r.stderr)
		}
	}
	if asked := streams(t, server.Requests(completions)[before:]); len(asked) != 8*4 {
		t.Errorf("%d samples were asked for, want the 32 of step 3", len(asked))
	}
	sameRun(t, whole, out, 4)
}

// A server that dies ends the run with code 3 and how to go on; on another one it ends the same.
func TestServerDies(t *testing.T) {
	dir := t.TempDir()
	whole, out := filepath.Join(dir, "whole"), filepath.Join(dir, "run")
	must(t, small(scripted(t, nil), whole, "--steps", "3")...)
	for _, tc := range []struct {
		name, wants string
		die         func(*openaitest.Server)
	}{
		{"gone", "start the server", (*openaitest.Server).Close},
		{"errors for ever", "the fault that was asked for", func(s *openaitest.Server) {
			s.Inject(openaitest.Fault{Kind: openaitest.FaultStatus, Status: 500, Times: -1})
		}},
		{"hangs", "no complete answer within", func(s *openaitest.Server) {
			s.Inject(openaitest.Fault{Kind: openaitest.FaultHang, Times: -1})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := out + tc.name
			server := scripted(t, nil)
			quick := []string{"--steps", "3", "--set", "sampling.patience=500ms", "--set", "sampling.request_timeout=2s"}
			r := justrlTo(t.Context(), t, &stopAfter{line: "step 2/3", stop: func() { tc.die(server) }}, small(server, out, quick...)...)
			for _, w := range []string{tc.wants, server.URL, "run --resume --out " + out} {
				if r.code != cli.ExitServer || !strings.Contains(r.lastLine(), w) {
					t.Errorf("exit code %d, last line %q; want %d and %q", r.code, r.lastLine(), cli.ExitServer, w)
				}
			}
			must(t, "run", "--resume", "--server", scripted(t, nil).URL, "--out", out)
			sameRun(t, whole, out, 3)
		})
	}
}

// sameRun compares two finished runs: records without clocks, versions and the fields
// but, rollouts, and final weights.
func sameRun(t *testing.T, a, b string, n int, but ...string) {
	t.Helper()
	but = append(but, "Sample", "Look", "Checkpoint", "Update", "Publish", "Load", "Prove", "Total", "Rate", "Ended", "ServerSeconds", "TrainerSeconds", "Canary", "WeightsVersion", "Servers", "ServerEvents")
	clocks := cmp.FilterPath(func(p cmp.Path) bool {
		f, ok := p.Last().(cmp.StructField)
		return ok && slices.Contains(but, f.Name())
	}, cmp.Ignore())
	if diff := cmp.Diff(steps(t, a, n), steps(t, b, n), clocks); diff != "" {
		t.Errorf("the steps differ (-first +second):\n%s", diff)
	}
	for step := range n {
		if diff := cmp.Diff(rollouts(t, a, step), rollouts(t, b, step), cmpopts.IgnoreFields(journal.Rollout{}, "WeightsVersion", "Server")); diff != "" {
			t.Errorf("the rollouts of step %d differ (-first +second):\n%s", step, diff)
		}
	}
	if x, y := summary(t, a).WeightsSHA256, summary(t, b).WeightsSHA256; x != y {
		t.Errorf("the final weights are %s and %s", x, y)
	}
}
