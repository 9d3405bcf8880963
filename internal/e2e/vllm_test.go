//go:build torch && vllm

package e2e

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/updater/safetensors"
)

// server is the URL of the vLLM that all tests of the package share. Each run
// begins by loading its own weights into it.
var server string

func TestMain(m *testing.M) {
	url, stop, err := startVLLM()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vllm:", err)
		os.Exit(1)
	}
	server = url
	code := m.Run()
	stop()
	os.Exit(code)
}

// startVLLM serves the shipped policy with the project's own script.
func startVLLM() (url string, stop func(), err error) {
	if url := os.Getenv("JUSTRL_VLLM_URL"); url != "" {
		return url, func() {}, nil // one that is there already
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return "", nil, err
	}
	log, err := os.Create(filepath.Join(os.TempDir(), "justrl-e2e-vllm.log"))
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command("../../scripts/vllm-serve", policy, strconv.Itoa(port), "--max-model-len", "2048")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(30 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}
	url = "http://127.0.0.1:" + strconv.Itoa(port)
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); {
		select {
		case err := <-exited:
			return "", nil, fmt.Errorf("vLLM ended before it was ready (%v); see %s", err, log.Name())
		case <-time.After(time.Second):
		}
		if resp, err := http.Get(url + "/health"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return url, stop, nil
			}
		}
	}
	stop()
	return "", nil, fmt.Errorf("vLLM was not ready in 5 minutes; see %s", log.Name())
}

// runArgs is the main job on the shipped policy.
func runArgs(out string, more ...string) []string {
	return append([]string{"run", "--server", server, "--preset", "tiny-cpu", "--model", policy, "--data", train, "--validation", heldOut, "--out", out}, more...)
}

func TestDoctor(t *testing.T) {
	r := must(t, "doctor", "--server", server, "--model", policy)
	for _, want := range []string{"vllm", "0.32.0", "trainable"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("doctor does not say %q:\n%s", want, r.stdout)
		}
	}
}

// The point of the whole program.
func TestRewardRises(t *testing.T) {
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
func TestShuffledRewardsTeachNothing(t *testing.T) {
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
func TestRealBenchmarks(t *testing.T) {
	for _, name := range []string{"AIME24", "MATH-500", "BRUMO25"} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "run")
			data := shared(t, "data/benchmarks/"+name+".parquet")
			must(t, "run", "--server", server, "--preset", "tiny-cpu", "--model", policy, "--data", data, "--out", out, "--steps", "2",
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

func floats(t *testing.T, dir string) map[string][]float32 {
	t.Helper()
	set, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close() //nolint:errcheck // read only
	out := map[string][]float32{}
	for _, name := range set.Names() {
		b, err := set.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = asFloats(b)
	}
	return out
}

// Ctrl-C ends at a step boundary, and the resumed run goes on as if nothing had been.
func TestInterruptAndResume(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	args := runArgs(out, "--steps", "4", "--set", "validation.every=0")
	ctx, cancel := context.WithCancel(t.Context())
	stop := &stopAfter{line: "step 2/4", stop: cancel}
	r := justrlTo(ctx, t, stop, args...)
	if r.code != cli.ExitInterrupted || !strings.Contains(r.lastLine(), "--resume") {
		t.Fatalf("exit code %d, last line %q; want %d and how to go on", r.code, r.lastLine(), cli.ExitInterrupted)
	}
	done := len(steps(t, out, countSteps(t, out)))
	if done < 2 || done > 3 {
		t.Fatalf("%d steps recorded after an interrupt in step 3", done)
	}
	must(t, "run", "--resume", "--server", server, "--out", out)
	all := steps(t, out, 4)
	problems := 0
	for _, s := range all {
		problems += len(rolloutGroups(t, out, s.Step))
	}
	if problems != 4*32 {
		t.Errorf("%d groups over 4 steps, want 128", problems)
	}
	if !slices.IsSorted(allOrdinals(t, out, 4)) {
		t.Error("rows were drawn twice or skipped")
	}
}
