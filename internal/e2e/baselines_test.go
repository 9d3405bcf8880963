//go:build torch

package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/orchestrator/journal"
)

// Every baseline goes through the whole program, made small, and leaves what
// only it does in its records; all of it is replayed to the last bit.
func TestBaselines(t *testing.T) {
	for preset, check := range map[string]func(s journal.Step) bool{
		"justrl-overlong": func(s journal.Step) bool { return s.Overlong != nil && s.Drawn == nil && s.KLCoef == 0 },
		"grpo-classic": func(s journal.Step) bool {
			return s.KLCoef == 0.04 && s.KLLoss > 0 && s.Overlong == nil && s.Drawn == nil
		},
		"dr-grpo": func(s journal.Step) bool { return s.KLCoef == 0 && s.Overlong == nil && s.Drawn == nil },
		"dapo":    func(s journal.Step) bool { return s.Overlong != nil && s.Drawn != nil && s.KLCoef == 0 },
	} {
		t.Run(preset, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "run")
			args := small(uneven(t, nil), out, "--steps", "2", "--set", "sampling.max_tokens=96", "--set", "sampling.max_prompt_tokens=256",
				"--set", "update.max_pack_tokens=4096", "--set", "optimizer.lr=3e-5", "--set", "validation.max_tokens=96")
			args[4] = preset // of --preset
			if strings.Contains("justrl-overlong dapo", preset) {
				args = append(args, "--set", "reward.overlong_buffer=90")
			}
			must(t, args...)
			all := steps(t, out, 2)
			if last := all[1]; !check(last) || last.GradNorm == 0 {
				t.Errorf("step 1: %+v, overlong %+v, drawn %+v", last, last.Overlong, last.Drawn)
			}
			if all[0].WeightsSHA256 == all[1].WeightsSHA256 {
				t.Error("the weights have not changed")
			}
			if r := must(t, "replay", out, "--step", "1"); !strings.Contains(r.stdout, "same") {
				t.Errorf("replay says %q", r.stdout)
			}
		})
	}
}
