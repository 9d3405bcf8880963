//go:build torch && vllm

package e2e

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/cli"
)

// server is the URL of the vLLM that all tests of the package share
// (scripts/with-vllm starts it). Each run begins by loading its own weights into it.
var server = os.Getenv("JUSTRL_VLLM_URL")

func TestMain(m *testing.M) {
	beJustrl()
	if server == "" {
		fmt.Fprintln(os.Stderr, "JUSTRL_VLLM_URL is not set: run these tests by make test-vllm")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// runArgs is the main job on the shipped policy.
func runArgs(out string, more ...string) []string {
	return append([]string{"run", "--server", server, "--preset", "tiny-cpu", "--model", policy, "--data", train, "--validation", heldOut, "--out", out}, more...)
}

func TestVLLMDoctor(t *testing.T) {
	r := must(t, "doctor", "--server", server, "--model", policy)
	for _, want := range []string{"vllm", "0.32.0", "trainable        yes", "seeds            heeded", "temperature      honoured", "plan             trains: "} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("doctor does not say %q:\n%s", want, r.stdout)
		}
	}
}

// The point of the whole program.
func TestVLLMRewardRises(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	r := must(t, runArgs(out)...)
	t.Log(r.stdout)
	s := summary(t, out)
	t.Log("JustRL: " + accuracies(s))
	v := s.Validation["heldout"]
	if v.First > 0.45 || v.Last < v.First+0.3 {
		t.Errorf("held-out accuracy %.3f → %.3f: want a start of at most 0.45 and a rise of at least 0.3", v.First, v.Last)
	}
	if s.RewardLast < s.RewardFirst+0.5 {
		t.Errorf("training reward %+.3f → %+.3f: want a rise of at least 0.5", s.RewardFirst, s.RewardLast)
	}
	for _, step := range steps(t, out, 30) {
		if !step.Canary.Passed {
			t.Errorf("step %d: canary %+v", step.Step, step.Canary)
		}
	}
}

// With the reward's link to the answers cut there is nothing to learn.
func TestVLLMShuffledRewardsTeachNothing(t *testing.T) {
	out := filepath.Join(t.TempDir(), "control")
	must(t, runArgs(out, "--set", "reward.shuffle_control=true")...)
	s := summary(t, out)
	t.Log("control: " + accuracies(s))
	if v := s.Validation["heldout"]; math.Abs(v.Last-v.First) > 0.05 {
		t.Errorf("held-out accuracy moved from %.3f to %.3f, more than 0.05", v.First, v.Last)
	}
}

// Real problems that the tiny policy cannot solve: every reward is -1, every
// advantage 0, so only weight decay may move a weight.
func TestVLLMRealBenchmarks(t *testing.T) {
	for _, name := range []string{"AIME24", "MATH-500", "BRUMO25"} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "run")
			data := shared(t, "data/benchmarks/"+name+".parquet")
			// A seed at which the policy hits no answer by luck, here or on the embedded server.
			must(t, "run", "--server", server, "--preset", "tiny-cpu", "--model", policy, "--data", data, "--out", out, "--steps", "2", "--seed", "2",
				"--set", "sampling.batch=8", "--set", "update.mini_batch=2", "--set", "sampling.max_prompt_tokens=1024", "--set", "sampling.max_tokens=64",
				"--set", "optimizer.warmup_steps=1", "--set", "optimizer.lr=1e-3")
			lr := 0.0
			for _, s := range steps(t, out, 2) {
				if s.ScoreMax != -1 {
					t.Errorf("step %d: a reward of %g on %s", s.Step, s.ScoreMax, name)
				}
				if s.PGLoss != 0 || s.GradNorm != 0 {
					t.Errorf("step %d: loss %g and gradient norm %g, want 0: all advantages are", s.Step, s.PGLoss, s.GradNorm)
				}
				lr += 4 * s.LR
			}
			onlyDecayed(t, policy, summary(t, out).Model, math.Exp(-0.1*lr))
		})
	}
}

// onlyDecayed checks that every weight is its old value times factor.
func onlyDecayed(t *testing.T, before, after string, factor float64) {
	t.Helper()
	was, is := floats(t, before), floats(t, after)
	moved := 0
	for name, old := range was {
		for i, v := range old {
			want := float64(v) * factor
			got := float64(is[name][i])
			if math.Abs(got-want) > 1e-6*math.Abs(want)+1e-12 {
				t.Fatalf("%s[%d]: %g became %g, weight decay alone makes it %g", name, i, v, got, want)
			}
			if got != float64(v) {
				moved++
			}
		}
	}
	if moved == 0 {
		t.Error("no weight moved: not even weight decay was applied")
	}
}

// Ctrl-C ends at a step boundary, and the resumed run goes on as if nothing had been.
func TestVLLMInterruptAndResume(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	args := runArgs(out, "--steps", "4", "--set", "validation.every=0")
	ctx, cancel := context.WithCancel(t.Context())
	stop := &stopAfter{line: "step 2/4", stop: cancel}
	r := justrlTo(ctx, t, stop, args...)
	if r.code != cli.ExitInterrupted || !strings.Contains(r.lastLine(), "--resume") {
		t.Fatalf("exit code %d, last line %q; want %d and how to go on", r.code, r.lastLine(), cli.ExitInterrupted)
	}
	if n := countSteps(t, out); n < 2 || n > 3 {
		t.Fatalf("%d steps recorded after an interrupt in step 3", n)
	}
	must(t, "run", "--resume", "--server", server, "--out", out)
	steps(t, out, 4)
	everyRowOnce(t, out, 4, 8)
}
