//go:build torch

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler/openaitest"
)

// streams are the samples that a server was asked for to train on, by prompt
// and stream of random numbers: how often each.
func streams(t *testing.T, requests []openaitest.Request) map[string]int {
	t.Helper()
	asked := map[string]int{}
	for _, r := range requests {
		var req struct {
			Prompt      []int32
			N           int
			Seed        int64
			Temperature float64
			Logprobs    *int
			MaxTokens   int `json:"max_tokens"`
		}
		if err := json.Unmarshal(r.Body, &req); err != nil {
			t.Fatal(err)
		}
		if req.Temperature == 0 || req.Logprobs == nil || req.MaxTokens != 96 {
			continue // a question about the server, a canary's or a validation's
		}
		for j := range int64(req.N) {
			asked[fmt.Sprint(req.Prompt, req.Seed+j)]++
		}
	}
	return asked
}

const completions = "/v1/completions"

// Stopped in the middle of a step, and its last line torn: the resumed run asks
// for the samples that are missing, for no other, and ends with the same weights.
func TestStoppedStepAsksForWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	whole, cut := filepath.Join(dir, "whole"), filepath.Join(dir, "cut")
	undisturbed := scripted(t, nil)
	must(t, small(undisturbed, whole, "--steps", "3")...)
	want := streams(t, undisturbed.Requests(completions))
	if len(want) != 3*8*4 {
		t.Fatalf("%d samples were asked for, want 96", len(want))
	}

	ctx, cancel := context.WithCancel(t.Context())
	var server *openaitest.Server
	server = scripted(t, func(o *openaitest.Options) {
		script := o.Script
		o.Script = func(prompt []int32, seed int64) []int32 {
			if len(streams(t, server.Requests(completions))) > (8+5)*4 { // the sixth row of step 1
				cancel()
			}
			return script(prompt, seed)
		}
	})
	r := justrl(ctx, t, small(server, cut, "--steps", "3", "--set", "sampling.concurrency=1")...)
	if r.code != cli.ExitInterrupted || countSteps(t, cut) != 1 {
		t.Fatalf("exit code %d after %d steps, want an interrupt after one", r.code, countSteps(t, cut))
	}
	path := filepath.Join(cut, "rollouts", "step-000001.partial.jsonl")
	kept := content(t, path)
	if n := bytes.Count(kept, []byte("\n")); n < 5*4 || n > 6*4 {
		t.Fatalf("%d rollouts were kept, want those of five rows, or of six", n)
	}
	write(t, path, string(kept[:len(kept)-700])) // as a killed process leaves it
	left := bytes.Count(kept[:len(kept)-700], []byte("\n"))

	before := len(server.Requests(completions))
	must(t, "run", "--resume", "--server", server.URL, "--out", cut)
	asked := streams(t, server.Requests(completions)[before:])
	if want := 2*8*4 - left; len(asked) != want {
		t.Errorf("the resumed run asked for %d samples, want %d: %d of its 64 were there", len(asked), want, left)
	}
	for id, times := range asked {
		if times != 1 || want[id] != 1 {
			t.Errorf("the resumed run asked %d times for a sample that the undisturbed one asked for %d times", times, want[id])
		}
	}
	sameRun(t, whole, cut, 3)
	everyRowOnce(t, cut, 3, 4)
	versions := map[int64]bool{}
	for _, o := range rollouts(t, cut, 1) {
		versions[o.WeightsVersion] = true
	}
	if len(versions) != 2 {
		t.Errorf("the step's rollouts have the versions %v, want the one before the stop and the one after it", versions)
	}
	if _, err := os.Stat(path); err == nil {
		t.Errorf("%s is still there", path)
	}
}

// Steps that were recorded after the checkpoint are trained on again, not sampled again.
func TestLostStepsAreNotSampledAgain(t *testing.T) {
	dir := t.TempDir()
	whole, cut := filepath.Join(dir, "whole"), filepath.Join(dir, "cut")
	every := []string{"--steps", "4", "--set", "checkpoint.every=2", "--set", "checkpoint.rollouts=1", "--set", "reward.shuffle_control=true"}
	must(t, small(scripted(t, nil), whole, append(every, "--set", "checkpoint.rollouts=0")...)...)

	server := scripted(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	justrlTo(ctx, t, &stopAfter{line: "step 3/4", stop: cancel}, small(server, cut, every...)...)
	dropCheckpoint(t, cut, 3) // as if it had been killed
	before, recorded := len(server.Requests(completions)), rollouts(t, cut, 2)
	must(t, "run", "--resume", "--server", server.URL, "--out", cut, "--set", "checkpoint.rollouts=0")
	if asked := streams(t, server.Requests(completions)[before:]); len(asked) != 8*4 {
		t.Errorf("%d samples were asked for, want the 32 of step 3", len(asked))
	}
	if d := cmp.Diff(recorded, rollouts(t, cut, 2)); d != "" {
		t.Errorf("the rollouts of step 2 changed (-before +after):\n%s", d)
	}
	if a, b := summary(t, whole).WeightsSHA256, summary(t, cut).WeightsSHA256; a != b {
		t.Errorf("the final weights are %s and %s", a, b)
	}
}

// A server whose log-probs are refused is not trained on after the resume
// either: its rollouts are set aside, and the step is sampled from the next.
func TestRefusedRolloutsAreSampledAgain(t *testing.T) {
	dir := t.TempDir()
	whole, out := filepath.Join(dir, "whole"), filepath.Join(dir, "run")
	must(t, small(scripted(t, nil), whole, "--steps", "2")...)
	wrong := scripted(t, func(o *openaitest.Options) {
		right := o.Logprobs
		var n atomic.Int64
		o.Logprobs = func(dir string, ids []int32) []float32 {
			scores := right(dir, ids)
			if n.Add(1) > 20 && len(ids) < 60 { // the canary's probes are longer, or came before
				for i := range scores {
					scores[i] -= 0.5
				}
			}
			return scores
		}
	})
	r := justrl(t.Context(), t, small(wrong, out, "--steps", "2", "--set", "sampling.concurrency=1")...)
	if r.code != cli.ExitServer || !strings.Contains(r.lastLine(), "disagree about the log-probs") {
		t.Fatalf("exit code %d: %s", r.code, r.lastLine())
	}
	aside := filepath.Join(out, "rollouts", "step-000000.refused.jsonl")
	if n := bytes.Count(content(t, aside), []byte("\n")); n != 32 {
		t.Errorf("%d rollouts were set aside, want 32", n)
	}
	must(t, "run", "--resume", "--server", scripted(t, nil).URL, "--out", out)
	sameRun(t, whole, out, 2)
}

// Two runs with one seed have the same records, but for what a clock decides.
func TestSameSeedSameRecords(t *testing.T) {
	server := scripted(t, nil)
	records := func() (all []map[string]any) {
		out := filepath.Join(t.TempDir(), "run")
		must(t, small(server, out, "--steps", "3")...)
		for _, s := range readLines[map[string]any](t, content(t, filepath.Join(out, "steps.jsonl"))) {
			if sum, _ := s["weights_sha256"].(string); len(sum) != 64 {
				t.Errorf("weights_sha256 is %q", sum)
			}
			for _, key := range []string{"timing_s/load", "timing_s/canary"} {
				if v, _ := s[key].(float64); !(v > 0) {
					t.Errorf("%s is %v", key, s[key])
				}
			}
			maps.DeleteFunc(s, func(key string, _ any) bool {
				return strings.HasPrefix(key, "timing_s/") || strings.HasPrefix(key, "perf/")
			})
			all = append(all, s)
		}
		last := readLines[journal.Step](t, content(t, filepath.Join(out, "steps.jsonl")))[2]
		if want := summary(t, out).WeightsSHA256; last.WeightsSHA256 != want {
			t.Errorf("the last step's weights are %s, the summary's %s", last.WeightsSHA256, want)
		}
		return all
	}
	if d := cmp.Diff(records(), records()); d != "" {
		t.Errorf("(-first +second):\n%s", d)
	}
}

// Validation at both temperatures: accuracies, and answers to read.
func TestValidationAnswers(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	r := must(t, small(scripted(t, nil), out, "--steps", "1", "--validation", heldOut)...)
	for _, w := range []string{"heldout before training: ", "heldout after step 1: "} {
		if !strings.Contains(r.stderr, w) {
			t.Errorf("stderr does not say %q", w)
		}
	}
	if s := summary(t, out); s.Sampled["heldout"].Last == 0 || s.Validation["heldout"] == s.Sampled["heldout"] || !strings.Contains(r.stdout, "sampled)") {
		t.Errorf("summary %+v, stdout %q", s, r.stdout)
	}
	n := map[bool]int{}
	for _, a := range readLines[journal.Answer](t, content(t, filepath.Join(out, "eval/step-000001/heldout.jsonl"))) {
		n[a.Sampled]++
		if a.Question == "" || a.GroundTruth == "" || !strings.Contains(a.Text, "boxed") || a.Correct != strings.Contains(a.Text, `\boxed{`+a.GroundTruth+"}") {
			t.Fatalf("an answer is %+v", a)
		}
	}
	if n[false] != 200 || n[true] != 800 {
		t.Errorf("%d answers and %d sampled ones, want 200 and 800", n[false], n[true])
	}
}
