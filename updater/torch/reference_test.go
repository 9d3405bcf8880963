//go:build torch

package torch

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/safetensors"
)

// reference is reference.json, see testdata/make_reference.py.
type reference struct {
	Forward []struct {
		Temperature    float64 `json:"temperature"`
		PromptTokenIDs []int32 `json:"prompt_token_ids"`
		TokenIDs       []int32 `json:"token_ids"`
		Logprobs       []float64
		Entropy        []float64
	}
	Partitions [][]int
	Metrics    map[string]figures
	Updates    []figures
}

type figures struct {
	PGLoss    float64 `json:"pg_loss"`
	ClipFrac  float64 `json:"pg_clipfrac"`
	ClipLower float64 `json:"pg_clipfrac_lower"`
	PPOKL     float64 `json:"ppo_kl"`
	Entropy   float64 `json:"entropy"`
	GradNorm  float64 `json:"grad_norm"`
	Tokens    int     `json:"tokens"`
}

// check holds an update's figures against f.
func (f figures) check(t *testing.T, got updater.UpdateMetrics) {
	t.Helper()
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"pg_loss", got.PGLoss, f.PGLoss}, {"pg_clipfrac", got.PGClipFrac, f.ClipFrac},
		{"pg_clipfrac_lower", got.PGClipFracLower, f.ClipLower}, {"ppo_kl", got.PPOKL, f.PPOKL},
		{"grad_norm", got.GradNorm, f.GradNorm}, {"entropy", got.Entropy, f.Entropy},
	} {
		if f.Entropy == 0 && c.name == "entropy" {
			continue
		}
		if math.Abs(c.got-c.want) > 5e-5*math.Max(math.Abs(c.want), 0.02) {
			t.Errorf("%s = %.9g, want %.9g", c.name, c.got, c.want)
		}
	}
	if f.Tokens != 0 && got.Tokens != f.Tokens {
		t.Errorf("%d tokens, want %d", got.Tokens, f.Tokens)
	}
}

type recorded struct {
	Group          int64
	PromptTokenIDs []int32 `json:"prompt_token_ids"`
	TokenIDs       []int32 `json:"token_ids"`
	Reward         float64
	Old            []float32
}

// groupsOf turns recorded rollouts into groups; their old log-probs are the server's.
func groupsOf(rollouts []recorded) []updater.Group {
	var groups []updater.Group
	for _, r := range rollouts {
		if n := len(groups); n == 0 || groups[n-1].Ordinal != r.Group {
			groups = append(groups, updater.Group{Ordinal: r.Group})
		}
		g := &groups[len(groups)-1]
		g.Rollouts = append(g.Rollouts, updater.Rollout{
			PromptTokenIDs: r.PromptTokenIDs, TokenIDs: r.TokenIDs, Logprobs: r.Old, Reward: r.Reward})
	}
	return groups
}

func serverOld(o *Options) { o.Update.OldLogprobs = updater.OldLogprobsServer }

func TestScoreMatchesTransformers(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			var ref reference
			readJSON(t, filepath.Join("testdata", name, "reference.json"), &ref)
			trainer := openTrainer(t, filepath.Join("testdata", name))
			byTemperature := make(map[float64][][]int32)
			for _, f := range ref.Forward {
				byTemperature[f.Temperature] = append(byTemperature[f.Temperature], append(append([]int32{}, f.PromptTokenIDs...), f.TokenIDs...))
			}
			for temperature, seqs := range byTemperature {
				got, err := trainer.Score(context.Background(), seqs, temperature)
				if err != nil {
					t.Fatal(err)
				}
				i := 0
				for _, f := range ref.Forward {
					if f.Temperature != temperature {
						continue
					}
					from := len(f.PromptTokenIDs) - 1
					if len(got[i].Logprobs) != len(seqs[i])-1 || len(got[i].Entropy) != len(seqs[i])-1 {
						t.Fatalf("sequence %d of %d tokens: %d log-probs, %d entropies", i, len(seqs[i]), len(got[i].Logprobs), len(got[i].Entropy))
					}
					if d := farthest(t, got[i].Logprobs[from:], f.Logprobs); !(d < 2e-5) {
						t.Errorf("temperature %g, sequence %d: a log-prob is off by %.3g", temperature, i, d)
					}
					if d := farthest(t, got[i].Entropy[from:], f.Entropy); !(d < 2e-5) {
						t.Errorf("temperature %g, sequence %d: an entropy is off by %.3g", temperature, i, d)
					}
					i++
				}
			}
		})
	}
}

func TestGradientMatchesPyTorch(t *testing.T) {
	aggregations := []string{updater.TokenMean, updater.TokenMeanVerl, updater.SeqMeanTokenSum, updater.SeqMeanTokenMean, updater.SeqMeanTokenSumNorm}
	for _, name := range fixtures {
		for _, aggregation := range aggregations {
			t.Run(name+"/"+aggregation, func(t *testing.T) {
				var ref reference
				var batch []recorded
				dir := filepath.Join("testdata", name)
				readJSON(t, filepath.Join(dir, "reference.json"), &ref)
				readJSON(t, filepath.Join(dir, "batch.json"), &batch)
				trainer := openTrainer(t, dir, serverOld, func(o *Options) { o.Update.Aggregation = aggregation })
				mini := trainer.samples(t, groupsOf(batch))
				metrics := trainer.gradientOf(t, mini, ref.Partitions)
				ref.Metrics[aggregation].check(t, metrics)
				if aggregation != updater.TokenMean {
					return
				}
				trainer.checkGradients(t, openTensors(t, filepath.Join(dir, "reference.safetensors")), "grad.")
			})
		}
	}
}

func TestThreeUpdatesMatchPyTorch(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			var ref reference
			var batch []recorded
			dir := filepath.Join("testdata", name)
			readJSON(t, filepath.Join(dir, "reference.json"), &ref)
			readJSON(t, filepath.Join(dir, "batch.json"), &batch)
			trainer := openTrainer(t, dir, serverOld, func(o *Options) { o.Optimizer.LR = 1e-3 })
			before := trainer.weights(t)
			for step, want := range ref.Updates {
				result, err := trainer.Step(context.Background(), step, groupsOf(batch), nil)
				if err != nil {
					t.Fatal(err)
				}
				want.check(t, result.Updates[0])
			}
			trainer.checkSteps(t, before, openTensors(t, filepath.Join(dir, "reference.safetensors")), "after3.")
		})
	}
}

// samples is a checked batch as one mini-batch.
func (t *Trainer) samples(tb testing.TB, groups []updater.Group) []*sample {
	tb.Helper()
	batch, err := t.batch(groups)
	if err != nil {
		tb.Fatal(err)
	}
	var mini []*sample
	for _, g := range batch {
		mini = append(mini, g...)
	}
	return mini
}

// gradientOf leaves the gradient of mini in the parameters; packs lists the samples of each.
func (t *Trainer) gradientOf(tb testing.TB, mini []*sample, packs [][]int) updater.UpdateMetrics {
	tb.Helper()
	var rows []row
	for _, members := range packs {
		rows = append(rows, newRow(sequences(mini), members))
	}
	var metrics updater.UpdateMetrics
	err := t.worker.do(func() (err error) {
		t.net.dropGrads(t.counter)
		if metrics, err = t.gradient(context.Background(), mini, rows); err != nil {
			return err
		}
		s := newScope(t.counter)
		defer s.close()
		var grads []tensor
		for _, p := range t.net.params {
			grads = append(grads, p.grad)
		}
		metrics.GradNorm = s.norm(grads)
		return s.err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return metrics
}

// checkGradients holds the gradients against those that the reference has.
func (t *Trainer) checkGradients(tb *testing.T, want *safetensors.Set, prefix string) {
	tb.Helper()
	compared := 0
	for _, p := range t.net.params {
		if _, ok := want.Info(prefix + p.name); !ok {
			continue
		}
		compared++
		got := t.host(tb, p.grad, p.elements())
		if d := farthest(tb, got, values[float32](tb, want, prefix+p.name)); !(d < 2e-6) {
			tb.Errorf("gradient of %s is off by %.3g", p.name, d)
		}
	}
	if compared == 0 {
		tb.Errorf("the reference has no tensor %s…", prefix)
	}
}

// weights copies all parameters to the host.
func (t *Trainer) weights(tb testing.TB) map[string][]float32 {
	tb.Helper()
	out := make(map[string][]float32)
	for _, p := range t.net.params {
		out[p.name] = t.host(tb, p.master, p.elements())
	}
	return out
}

// checkSteps holds the way from before to now against the reference's, tensor
// by tensor: a share of its length, because Adam turns gradients near zero
// into whole steps of either sign.
func (t *Trainer) checkSteps(tb *testing.T, before map[string][]float32, want *safetensors.Set, prefix string) {
	tb.Helper()
	for _, p := range t.net.params {
		after := values[float32](tb, want, prefix+p.name)
		off, way := distance(t.host(tb, p.master, p.elements()), after), distance(before[p.name], after)
		if !(off <= 0.01*way) {
			tb.Errorf("%s moved %.3g and ended %.3g beside the reference", p.name, way, off)
		}
	}
}
