//go:build torch

package torch

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/safetensors"
)

var kitModels = []string{"a_qwen2_tied", "c_llama_rope3"}

// kitBatch is the upd.* tensors of a kit's reference.safetensors as rollouts.
func kitBatch(t *testing.T, ref *safetensors.Set) []updater.Group {
	t.Helper()
	ids, offsets := values[int32](t, ref, "upd.input_ids"), values[int32](t, ref, "upd.cu_seqlens")
	prompts, groups := values[int32](t, ref, "upd.prompt_lengths"), values[int32](t, ref, "upd.group")
	rewards, old := values[float32](t, ref, "upd.rewards"), values[float32](t, ref, "upd.old_log_probs")
	width := len(old) / len(rewards)
	var rollouts []recorded
	for i, reward := range rewards {
		seq := ids[offsets[i]:offsets[i+1]]
		response := seq[prompts[i]:]
		rollouts = append(rollouts, recorded{
			Group: int64(groups[i]), PromptTokenIDs: seq[:prompts[i]], TokenIDs: response,
			Reward: float64(reward), Old: old[i*width : i*width+len(response)]})
	}
	return groupsOf(rollouts)
}

func TestKitScores(t *testing.T) {
	for _, name := range kitModels {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(kit(t, "kit3"), name)
			ref := openTensors(t, filepath.Join(dir, "reference.safetensors"))
			ids, offsets := values[int32](t, ref, "fwd.input_ids"), values[int32](t, ref, "fwd.cu_seqlens")
			var seqs [][]int32
			for i := range len(offsets) - 1 {
				seqs = append(seqs, ids[offsets[i]:offsets[i+1]])
			}
			trainer := openTrainer(t, dir)
			for _, temperature := range []float64{1, 0.7} {
				got, err := trainer.Score(context.Background(), seqs, temperature)
				if err != nil {
					t.Fatal(err)
				}
				for _, precision := range []string{"f32", "f64"} {
					var logp, entropy []float64
					read := func(what string) []float64 {
						key := fmt.Sprintf("fwd.%s_%s_T%.1f", what, precision, temperature)
						if precision == "f64" {
							return values[float64](t, ref, key)
						}
						return widen(values[float32](t, ref, key))
					}
					logp, entropy = read("logprob_next"), read("entropy")
					for i := range seqs {
						from, to := offsets[i], offsets[i+1]-1
						a, b := farthest(t, got[i].Logprobs, logp[from:to]), farthest(t, got[i].Entropy, entropy[from:to])
						if !(a < 2e-5*slack()) || !(b < 2e-5*slack()) {
							t.Errorf("temperature %g, %s, sequence %d: log-probs off by %.3g, entropies by %.3g", temperature, precision, i, a, b)
						}
					}
				}
			}
		})
	}
}

// kitReference is the parts of a kit's reference.json that are compared.
type kitReference struct {
	Loss  map[string]map[string]figures
	Micro []struct {
		Partitions   [][]int
		WeightedLoss float64 `json:"weighted_loss"`
		GradNorm     float64 `json:"grad_norm"`
	}
	Updates map[string]struct {
		BaseLR      float64   `json:"base_lr"`
		WarmupSteps int       `json:"warmup_steps"`
		Steps       []figures `json:"steps_f64"`
	}
}

func TestKitGradients(t *testing.T) {
	for _, name := range kitModels {
		for _, aggregation := range []string{updater.TokenMean, updater.SeqMeanTokenSum, updater.SeqMeanTokenMean, updater.SeqMeanTokenSumNorm} {
			t.Run(name+"/"+aggregation, func(t *testing.T) {
				dir := filepath.Join(kit(t, "kit3"), name)
				ref := openTensors(t, filepath.Join(dir, "reference.safetensors"))
				var want kitReference
				readJSON(t, filepath.Join(dir, "reference.json"), &want)
				trainer := openTrainer(t, dir, serverOld, func(o *Options) {
					o.Update.Aggregation, o.Update.NormTokens = aggregation, 44 // the kit's padded width
				})
				mini := trainer.samples(t, kitBatch(t, ref))
				want.Loss[aggregation]["f64"].check(t, trainer.gradientOf(t, mini, [][]int{upTo(len(mini))}))
				if aggregation == updater.TokenMean {
					trainer.checkGradients(t, ref, "grad.", nil)
				}
			})
		}
	}
}

func TestKitVerlMicroBatches(t *testing.T) {
	for _, name := range kitModels {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(kit(t, "kit3"), name)
			ref := openTensors(t, filepath.Join(dir, "reference.safetensors"))
			var want kitReference
			readJSON(t, filepath.Join(dir, "reference.json"), &want)
			trainer := openTrainer(t, dir, serverOld, func(o *Options) { o.Update.Aggregation = updater.TokenMeanVerl })
			mini := trainer.samples(t, kitBatch(t, ref))
			for i, m := range want.Micro {
				got := trainer.gradientOf(t, mini, m.Partitions)
				if relative(got.PGLoss, m.WeightedLoss) > 5e-5 || relative(got.GradNorm, m.GradNorm) > 5e-5 {
					t.Errorf("micro-batches %d: loss %g, want %g; gradient norm %g, want %g", i, got.PGLoss, m.WeightedLoss, got.GradNorm, m.GradNorm)
				}
			}
			trainer.gradientOf(t, mini, want.Micro[1].Partitions)
			trainer.checkGradients(t, ref, "micro200.grad.", nil)
		})
	}
}

func TestKitUpdates(t *testing.T) {
	for _, name := range kitModels {
		for _, variant := range []string{"base1e-3_nowarmup", "base1e-3_warmup10", "base1e-6_nowarmup"} {
			t.Run(name+"/"+variant, func(t *testing.T) {
				dir := filepath.Join(kit(t, "kit3"), name)
				ref := openTensors(t, filepath.Join(dir, "reference.safetensors"))
				var all kitReference
				readJSON(t, filepath.Join(dir, "reference.json"), &all)
				want := all.Updates[variant]
				trainer := openTrainer(t, dir, serverOld, func(o *Options) {
					o.Optimizer.LR, o.Optimizer.WarmupSteps = want.BaseLR, want.WarmupSteps
				})
				if len(want.Steps) != 3 || want.Steps[0].LR == nil {
					t.Fatalf("%d steps in the kit, or no learning rate", len(want.Steps))
				}
				share := 0.01
				if want.BaseLR <= 1e-6 { // the rounding of float32 weights
					share = 0.05
				}
				groups, before := kitBatch(t, ref), trainer.weights(t)
				for step, f := range want.Steps {
					result, err := trainer.Step(context.Background(), step, groups, nil)
					if err != nil {
						t.Fatal(err)
					}
					f.check(t, result.Updates[0])
				}
				trainer.checkSteps(t, before, ref, "after3."+variant+".", share, share)
			})
		}
	}
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
