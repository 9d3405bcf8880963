//go:build torch

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Two recipes, one of them in two stages, with two seeds: killed in the third run,
// and gone on with by the same command, the sweep comes to the same weights as one
// that nobody disturbed, and every run is one that the other commands take.
func TestKilledTrainingSweepGoesOn(t *testing.T) {
	spec := filepath.Join(t.TempDir(), "spec.yaml")
	abs := func(path string) string {
		p, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	text := `training:
  preset: tiny-cpu
  model: ` + abs(policy) + `
  data: ` + abs(train) + `
  validation: ` + abs(heldOut) + `
  steps: 2
  seeds: [1, 2]
  set: [sampling.batch=2, sampling.n=4, update.mini_batch=1, checkpoint.every=1, optimizer.warmup_steps=0, validation.max_tokens=8, validation.sampled_n=0, validation.every=0, "mismatch.max_kl=0"]
  runs:
    - name: plain
    - name: staged
      stages: [{steps: 1, max_tokens: 24}, {max_tokens: 48}]
`
	if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, broken := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "broken")
	if r := must(t, "sweep", spec, "--out", whole); !strings.Contains(r.stdout, "staged") {
		t.Errorf("no table:\n%s", r.stdout)
	}
	cmd := process(t, "sweep", spec, "--out", broken)
	w := &watching{}
	w.when(func() {
		w.when(func() { _ = cmd.Process.Kill() }, "step 1/2")
	}, "run 3 of 4")
	cmd.Stderr = w
	if err := cmd.Run(); err == nil {
		t.Fatalf("it was never killed")
	}
	r := must(t, "sweep", spec, "--out", broken)
	for _, said := range []string{"run 1 of 4", "run 2 of 4"} {
		if strings.Contains(r.stderr, said) {
			t.Errorf("a run that is done is done again:\n%s", r.stderr)
		}
	}
	for _, name := range []string{"plain-seed-1", "staged-seed-1", "plain-seed-2", "staged-seed-2"} {
		a, b := steps(t, filepath.Join(whole, "runs", name), 2), steps(t, filepath.Join(broken, "runs", name), 2)
		for i := range a {
			if a[i].WeightsSHA256 != b[i].WeightsSHA256 {
				t.Errorf("%s: step %d led to other weights", name, i)
			}
		}
		if longest := [2]int{a[0].ResponseMax, a[1].ResponseMax}; strings.HasPrefix(name, "staged") && (longest[0] > 24 || longest[1] > 48) {
			t.Errorf("%s: answers of up to %d tokens", name, longest)
		}
		must(t, "replay", filepath.Join(broken, "runs", name), "--step", "0")
		must(t, "report", filepath.Join(broken, "runs", name))
	}
	page := content(t, filepath.Join(broken, "report.html"))
	if !strings.Contains(string(page), "<th scope=\"col\">staged</th>") || !strings.Contains(string(page), "<figure") {
		t.Error("the page is not about the sweep")
	}
	if again := must(t, "sweep", spec, "--out", broken); again.stdout != r.stdout {
		t.Errorf("again it says\n%s\nbefore\n%s", again.stdout, r.stdout)
	}
}
