//go:build torch

package e2e

import (
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/safetensors"
)

// kitRollouts turns the recorded batch of a kit model into the rollouts file of `justrl update`.
func kitRollouts(t *testing.T, dir string) string {
	t.Helper()
	set, err := safetensors.OpenFile(filepath.Join(dir, "reference.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close() //nolint:errcheck // read only
	bits := func(name string) []uint32 {
		b, err := set.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		v := make([]uint32, len(b)/4)
		for i := range v {
			v[i] = binary.LittleEndian.Uint32(b[4*i:])
		}
		return v
	}
	ids, ends, prompts := bits("upd.input_ids"), bits("upd.cu_seqlens"), bits("upd.prompt_lengths")
	groups, rewards, old := bits("upd.group"), bits("upd.rewards"), bits("upd.old_log_probs")
	width := len(old) / len(groups)
	var batch []map[string]any
	for i := range groups {
		prompt, rest := ids[ends[i]:ends[i]+prompts[i]], ids[ends[i]+prompts[i]:ends[i+1]]
		var logprobs []float32
		for j := range rest {
			logprobs = append(logprobs, math.Float32frombits(old[i*width+j]))
		}
		batch = append(batch, map[string]any{
			"group": groups[i], "prompt_token_ids": prompt, "token_ids": rest, "logprobs": logprobs, "reward": math.Float32frombits(rewards[i]),
		})
	}
	return lines(t, filepath.Join(t.TempDir(), "rollouts.jsonl"), batch)
}

// The reference kit through the command: every aggregation, verl's own
// micro-batches, and clip settings of every kind.
func TestKitThroughUpdate(t *testing.T) {
	for _, name := range []string{"a_qwen2_tied", "c_llama_rope3"} {
		dir := shared(t, "kits/kit3/"+name)
		type figures struct {
			PGLoss    float64 `json:"pg_loss"`
			ClipFrac  float64 `json:"pg_clipfrac"`
			ClipLower float64 `json:"pg_clipfrac_lower"`
			PPOKL     float64 `json:"ppo_kl"`
		}
		ref := readJSON[struct {
			Loss  map[string]map[string]figures
			Other []struct {
				ClipLow  float64 `json:"clip_low"`
				ClipHigh float64 `json:"clip_high"`
				ClipC    float64 `json:"clip_c"`
				figures
			} `json:"loss_other_settings"`
			Micro []struct {
				Budget       int     `json:"max_token_len"`
				WeightedLoss float64 `json:"weighted_loss"`
				GradNorm     float64 `json:"grad_norm"`
			}
		}](t, filepath.Join(dir, "reference.json"))
		rollouts := kitRollouts(t, dir)
		update := func(t *testing.T, settings ...string) updater.UpdateMetrics {
			args := []string{"update", "--model", dir, "--rollouts", rollouts, "--out", filepath.Join(t.TempDir(), "out"), "--json", "--set", "update.old_logprobs=server"}
			for _, s := range settings {
				args = append(args, "--set", s)
			}
			got := readLines[updater.UpdateMetrics](t, []byte(must(t, args...).stdout))
			if len(got) != 1 {
				t.Fatalf("%d updates, want 1", len(got))
			}
			return got[0]
		}
		check := func(t *testing.T, got updater.UpdateMetrics, want figures) {
			near(t, "figures", []float64{got.PGLoss, got.PGClipFrac, got.PGClipFracLower, got.PPOKL},
				[]float64{want.PGLoss, want.ClipFrac, want.ClipLower, want.PPOKL}, 5e-5)
		}
		for aggregation, want := range ref.Loss {
			t.Run(name+" "+aggregation, func(t *testing.T) {
				check(t, update(t, "update.aggregation="+aggregation, "update.norm_tokens=44"), want["f64"])
			})
		}
		for _, o := range ref.Other {
			t.Run(fmt.Sprintf("%s clipped at %g %g %g", name, o.ClipLow, o.ClipHigh, o.ClipC), func(t *testing.T) {
				check(t, update(t, fmt.Sprint("update.clip_low=", o.ClipLow), fmt.Sprint("update.clip_high=", o.ClipHigh), fmt.Sprint("update.clip_c=", o.ClipC)), o.figures)
			})
		}
		for _, m := range ref.Micro {
			t.Run(fmt.Sprintf("%s in micro-batches of %d", name, m.Budget), func(t *testing.T) {
				got := update(t, "update.aggregation=token-mean-verl", fmt.Sprint("update.max_pack_tokens=", m.Budget))
				near(t, "figures", []float64{got.PGLoss, got.GradNorm}, []float64{m.WeightedLoss, m.GradNorm}, 5e-5)
			})
		}
		if len(ref.Loss) < 4 || len(ref.Other) < 4 || len(ref.Micro) < 3 {
			t.Errorf("%s: the kit has %d, %d and %d cases", name, len(ref.Loss), len(ref.Other), len(ref.Micro))
		}
	}
}
