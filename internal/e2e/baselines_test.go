//go:build torch

package e2e

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

// Every baseline goes through the whole program, made small, and leaves what
// only it does in its records (Dr. GRPO: its losses); all of it is replayed to the last bit.
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
			if preset == "dr-grpo" {
				overItsConstant(t, out, all[0])
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

// overItsConstant checks the losses of Dr. GRPO's first step by hand. It has
// learning rate 0, so every ratio is 1 and the loss of an update is
// −Σ (reward − the group's mean) · tokens over 2 groups × 4 answers × 96 tokens:
// the sizes of this run, none of which is the preset's.
func overItsConstant(t *testing.T, out string, first journal.Step) {
	t.Helper()
	const groups, answers, longest = 2, 4, 96
	c, err := config.Recorded(content(t, filepath.Join(out, "config.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	if c.Update.NormTokens != groups*answers*longest {
		t.Errorf("update.norm_tokens is %d, want %d", c.Update.NormTokens, groups*answers*longest)
	}
	all := rollouts(t, out, 0) // the lines of a group are together, groups by ordinal
	if len(all) != 4*groups*answers || len(first.Updates) != 4 {
		t.Fatalf("%d rollouts and %d updates, want 32 and 4", len(all), len(first.Updates))
	}
	for u, got := range first.Updates {
		var loss, size float64
		for g := range groups {
			group := all[(u*groups+g)*answers:][:answers]
			mean := 0.0
			for _, r := range group {
				mean += r.Reward / answers
			}
			for _, r := range group {
				if r.Group != group[0].Group {
					t.Fatalf("a rollout of group %d among those of group %d", r.Group, group[0].Group)
				}
				part := (r.Reward - mean) * float64(len(r.TokenIDs)) / (groups * answers * longest)
				loss, size = loss-part, size+math.Abs(part)
			}
		}
		if math.Abs(got.PGLoss-loss) > 1e-4*size {
			t.Errorf("update %d: pg_loss %g, want %g", u, got.PGLoss, loss)
		}
	}
}
