//go:build torch && vllm && linux

package e2e

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// The trainer is killed in the middle of rollouts, and of a reload, while a real server
// goes on: resumed, each step has trained on the planned rows and samples, once.
func TestVLLMKilledTrainer(t *testing.T) {
	const count, rows, n = 4, 8, 4
	out := filepath.Join(t.TempDir(), "run")
	paused := func() bool { // the trainer stands still, its server does not
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server+"/is_paused", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // read to its end
		b, err := io.ReadAll(resp.Body)
		return err == nil && strings.Contains(string(b), "true")
	}
	cmd := process(t, "run", "--server", server, "--preset", "tiny-cpu", "--model", policy, "--data", train, "--out", out, "--steps", "4",
		"--set", "sampling.batch=8", "--set", "sampling.n=4", "--set", "update.mini_batch=2", "--set", "optimizer.warmup_steps=0", "--set", "checkpoint.every=2",
		"--set", "sampling.concurrency=1")
	for _, m := range []moment{
		{at: func(d disk) bool { return d.steps() == 1 && d.sampled() > 0 && d.sampled() < rows*n }},
		{near: func(d disk) bool { return d.steps() >= 1 && d.reloading() }, at: func(d disk) bool { return d.reloading() && paused() }},
	} {
		r := watch(t, cmd, out)
		if !r.stopIn(m) {
			t.Fatalf("the run was not met in the moment; exit code %d\n%s", r.code(), r.said())
		}
		r.kill()
		if !m.at(disk(out)) {
			t.Fatal("the disk changed while the process was stopped")
		}
		t.Logf("killed: %s", state(out))
		cmd = resumed(t, server, out)
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for i, s := range steps(t, out, count) {
		if !s.Canary.Passed {
			t.Errorf("step %d: %+v", i, s.Canary)
		}
		if got := len(rollouts(t, out, i)); got != rows*n {
			t.Errorf("step %d has trained on %d rollouts, want %d", i, got, rows*n)
		}
	}
	everyRowOnce(t, out, count, n)
	leftovers(t, out)
}
