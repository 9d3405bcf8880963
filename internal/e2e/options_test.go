//go:build torch

package e2e

import (
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/updater"
)

// baseline is every term that JustRL leaves out.
var baseline = []string{
	"--set", "update.kl_coef=0.05", "--set", "update.entropy_coef=0.01", "--set", "update.ratio=sequence",
	"--set", "update.tis_cap=2", "--set", "update.advantage_std=false",
}

// A run with a reference model that is broken off and resumed holds its policy
// to the model that it began with, and so does its replay from a checkpoint.
func TestBaselineRunResumesAndReplays(t *testing.T) {
	dir := t.TempDir()
	whole, parted := filepath.Join(dir, "whole"), filepath.Join(dir, "parted")
	more := append([]string{"--set", "checkpoint.every=1", "--set", "checkpoint.keep=0"}, baseline...)
	must(t, small(scripted(t, nil), whole, append(more, "--steps", "4")...)...)
	server := scripted(t, nil)
	must(t, small(server, parted, append(more, "--steps", "2")...)...)
	must(t, "run", "--resume", "--out", parted, "--server", server.URL, "--steps", "4")
	sameRun(t, whole, parted, 4)
	all := steps(t, parted, 4)
	if kl := all[0].KLLoss; kl < 0 || kl > 1e-12 { // its learning rate is 0
		t.Errorf("the first step's KL to the model that it is: %g", kl)
	}
	for _, s := range all[2:] {
		if !(s.KLLoss > 0) || s.KLCoef != 0.05 || !(s.EntropyLoss > 0) || math.Abs(s.TISMean-1) > 1e-3 {
			t.Errorf("step %d: kl %g × %g, entropy %g, mean weight %g", s.Step, s.KLLoss, s.KLCoef, s.EntropyLoss, s.TISMean)
		}
	}
	if !(all[3].KLLoss > all[1].KLLoss) {
		t.Errorf("the KL to where it began went from %g to %g over two more steps: is the reference the checkpoint?", all[1].KLLoss, all[3].KLLoss)
	}
	for _, step := range []int{1, 3} {
		if r := must(t, "replay", parted, "--step", strconv.Itoa(step)); !strings.Contains(r.stdout, "the same: ") {
			t.Errorf("step %d:\n%s", step, r.stdout)
		}
	}
	refused(t, cli.ExitUsage, []string{"update.kl_coef is 0.1, was 0.05", "update.ratio is token, was sequence"}, parted,
		"run", "--resume", "--out", parted, "--server", server.URL, "--steps", "5", "--set", "update.kl_coef=0.1", "--set", "update.ratio=token")
}

// The reference of `update` is the model that it is given, or the one that is named.
func TestUpdateCommandWithReference(t *testing.T) {
	type options struct {
		Cases []struct {
			Name, Model, Reference string
			KLCoef                 float64 `json:"kl_coef"`
			KLEstimator            string  `json:"kl_estimator"`
			Want                   struct {
				PGLoss   float64 `json:"pg_loss"`
				KLLoss   float64 `json:"kl_loss"`
				GradNorm float64 `json:"grad_norm"`
			}
		}
	}
	checked := 0
	for _, c := range readJSON[options](t, fixtures+"options.json").Cases {
		if c.Name != "k1" && c.Name != "k2" {
			continue
		}
		checked++
		dir := t.TempDir()
		batch := readJSON[[]map[string]any](t, fixtures+c.Model+"/batch.json")
		for _, r := range batch {
			r["logprobs"] = r["old"]
		}
		rollouts := lines(t, filepath.Join(dir, "rollouts.jsonl"), batch)
		update := func(out string, more ...string) updater.UpdateMetrics {
			r := must(t, append([]string{"update", "--model", fixtures + c.Model, "--rollouts", rollouts, "--out", filepath.Join(dir, out), "--json",
				"--set", "update.old_logprobs=server", "--set", "update.mini_batch=64", "--set", "update.kl_estimator=" + c.KLEstimator,
				"--set", "update.kl_coef=" + strconv.FormatFloat(c.KLCoef, 'g', -1, 64)}, more...)...)
			return readLines[updater.UpdateMetrics](t, []byte(r.stdout))[0]
		}
		got := update("named", "--set", "update.reference="+fixtures+c.Reference)
		near(t, c.Name+": loss, kl and gradient norm", []float64{got.PGLoss, got.KLLoss, got.GradNorm}, []float64{c.Want.PGLoss, c.Want.KLLoss, c.Want.GradNorm}, 5e-5)
		if own := update("own"); math.Abs(own.KLLoss) > 1e-6 {
			t.Errorf("%s: the policy is %g from itself", c.Name, own.KLLoss)
		}
	}
	if checked != 2 {
		t.Errorf("%d cases checked, want 2", checked)
	}
	dir := t.TempDir()
	rollouts := lines(t, filepath.Join(dir, "rollouts.jsonl"), []map[string]any{})
	refused(t, cli.ExitFailed, []string{"update.reference: ", "nowhere"}, dir,
		"update", "--model", fixtures+"qwen2_tied", "--rollouts", rollouts, "--out", filepath.Join(dir, "out"), "--set", "update.kl_coef=1", "--set", "update.reference=nowhere")
}
