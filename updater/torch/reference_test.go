//go:build torch

package torch

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/safetensors"
)

// reference is reference.json, see testdata/make_reference.py.
type reference struct {
	Forward    []forward
	Partitions [][]int
	Metrics    map[string]figures
	// Float32Error is, by parameter, how far a gradient of PyTorch's own in
	// float32 is from the exact one, at the most.
	Float32Error map[string]float64 `json:"float32_error"`
	Updates      []figures          // at a learning rate of 1e-3
	UpdatesSmall []figures          `json:"updates_small"` // at 1e-6
}

// forward is one scored sequence of a reference.
type forward struct {
	Temperature    float64 `json:"temperature"`
	PromptTokenIDs []int32 `json:"prompt_token_ids"`
	TokenIDs       []int32 `json:"token_ids"`
	Logprobs       []float64
	Entropy        []float64
	BFloat16       []float64 // log-probs as transformers computes them in bfloat16
}

type figures struct {
	PGLoss    float64 `json:"pg_loss"`
	ClipFrac  float64 `json:"pg_clipfrac"`
	ClipLower float64 `json:"pg_clipfrac_lower"`
	PPOKL     float64 `json:"ppo_kl"`
	Entropy   float64 `json:"entropy"`
	GradNorm  float64 `json:"grad_norm"`
	Tokens    int     `json:"tokens"`
	// LR is the schedule's, which must be the same to the last bit; nil where
	// the reference has none.
	LR *float64 `json:"lr"`
}

// check holds an update's figures against f: within 5e-5 of each, or of 0.02
// where a figure is smaller than that (a loss of nearly 0 has no relative error).
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
	if f.LR != nil && got.LR != *f.LR {
		t.Errorf("learning rate %v, want %v", got.LR, *f.LR)
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

func readReference(t *testing.T, dir string) (ref reference, batch []updater.Group) {
	t.Helper()
	var rollouts []recorded
	readJSON(t, filepath.Join(dir, "reference.json"), &ref)
	readJSON(t, filepath.Join(dir, "batch.json"), &rollouts)
	return ref, groupsOf(rollouts)
}

func TestScoreMatchesTransformers(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) { checkScores(t, filepath.Join("testdata", name)) })
	}
}

// checkScores holds log-probs and entropies, at each temperature and in one
// pack, within 2e-5 nats of transformers' in float64.
func checkScores(t *testing.T, dir string) {
	ref, _ := readReference(t, dir)
	trainer := openTrainer(t, dir)
	tokens := map[float64]int{}
	for temperature := range byTemperature(ref) {
		got, entropy, want := trainer.scoresOf(t, ref, temperature)
		for i, f := range want {
			tokens[temperature] += len(f.Logprobs)
			if d := farthest(t, got[i], f.Logprobs); !(d < 2e-5*slack()) {
				t.Errorf("temperature %g, sequence %d: a log-prob is off by %.3g", temperature, i, d)
			}
			if d := farthest(t, entropy[i], f.Entropy); !(d < 2e-5*slack()) {
				t.Errorf("temperature %g, sequence %d: an entropy is off by %.3g", temperature, i, d)
			}
		}
	}
	if tokens[1] < 150 || tokens[0.7] < 150 {
		t.Errorf("tokens compared by temperature: %v", tokens)
	}
}

func byTemperature(ref reference) map[float64]bool {
	out := map[float64]bool{}
	for _, f := range ref.Forward {
		out[f.Temperature] = true
	}
	return out
}

// scoresOf scores the reference's sequences of one temperature at once: the
// log-probs and entropies of their responses.
func (t *Trainer) scoresOf(tb testing.TB, ref reference, temperature float64) (logp, entropy [][]float32, want []forward) {
	tb.Helper()
	var seqs [][]int32
	for _, f := range ref.Forward {
		if f.Temperature == temperature {
			want = append(want, f)
			seqs = append(seqs, slices.Concat(f.PromptTokenIDs, f.TokenIDs))
		}
	}
	got, err := t.Score(context.Background(), seqs, temperature)
	if err != nil {
		tb.Fatal(err)
	}
	for i, f := range want {
		if n := len(seqs[i]) - 1; len(got[i].Logprobs) != n || len(got[i].Entropy) != n {
			tb.Fatalf("sequence %d of %d tokens: %d log-probs, %d entropies", i, n+1, len(got[i].Logprobs), len(got[i].Entropy))
		}
		from := len(f.PromptTokenIDs) - 1
		logp, entropy = append(logp, got[i].Logprobs[from:]), append(entropy, got[i].Entropy[from:])
	}
	return logp, entropy, want
}

// aggregations are all that there are.
var aggregations = []string{updater.TokenMean, updater.TokenMeanVerl, updater.SeqMeanTokenSum, updater.SeqMeanTokenMean, updater.SeqMeanTokenSumNorm}

func TestGradientMatchesPyTorch(t *testing.T) {
	for _, name := range fixtures {
		for _, aggregation := range aggregations {
			t.Run(name+"/"+aggregation, func(t *testing.T) { checkGradient(t, filepath.Join("testdata", name), aggregation) })
		}
	}
}

// checkGradient holds the figures of an update on a fixture's batch against
// PyTorch's, and for one aggregation the gradient of every parameter.
func checkGradient(t *testing.T, dir, aggregation string) {
	ref, batch := readReference(t, dir)
	trainer := openTrainer(t, dir, serverOld, func(o *Options) { o.Update.Aggregation = aggregation })
	metrics := trainer.gradientOf(t, trainer.samples(t, batch), ref.Partitions)
	ref.Metrics[aggregation].check(t, metrics)
	if aggregation == updater.TokenMean {
		trainer.checkGradients(t, openTensors(t, filepath.Join(dir, "reference.safetensors")), "grad.", ref.Float32Error)
	}
}

func TestThreeUpdatesMatchPyTorch(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) { checkUpdates(t, filepath.Join("testdata", name), 1) })
	}
}

// checkUpdates makes three updates at each of two learning rates. At 1e-6 a
// step is a few units of float32's last place: the bound is the rounding's, not the arithmetic's. slack is what
// a single tensor is allowed beyond the whole step's share.
func checkUpdates(t *testing.T, dir string, slack float64) {
	ref, batch := readReference(t, dir)
	for _, c := range []struct {
		lr, share float64
		prefix    string
		want      []figures
	}{{1e-3, 0.01, "after3.", ref.Updates}, {1e-6, 0.05, "after3small.", ref.UpdatesSmall}} {
		trainer := openTrainer(t, dir, serverOld, func(o *Options) { o.Optimizer.LR = c.lr })
		before := trainer.weights(t)
		if len(c.want) != 3 {
			t.Fatalf("%d updates in the reference, want 3", len(c.want))
		}
		for step, want := range c.want {
			result, err := trainer.Step(context.Background(), step, batch, nil)
			if err != nil {
				t.Fatal(err)
			}
			want.check(t, result.Updates[0])
			if got := result.Updates[0].LR; got != c.lr {
				t.Errorf("learning rate %g, want %g", got, c.lr)
			}
		}
		trainer.checkSteps(t, before, openTensors(t, filepath.Join(dir, "reference.safetensors")), c.prefix, c.share, slack*c.share)
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

// checkGradients holds the gradients against those that the reference has:
// every element within 1e-6, or, where a model's gradients are so large that
// float32 cannot, within twice what PyTorch's own float32 is off (by parameter;
// nil where the reference does not say).
func (t *Trainer) checkGradients(tb *testing.T, want *safetensors.Set, prefix string, float32Error map[string]float64) {
	tb.Helper()
	compared := 0
	for _, p := range t.net.params {
		if _, ok := want.Info(prefix + p.name); !ok {
			continue
		}
		compared++
		got := t.host(tb, p.grad, p.elements())
		if d := farthest(tb, got, values[float32](tb, want, prefix+p.name)); !(d <= max(1e-6, 2*float32Error[p.name])) {
			tb.Errorf("gradient of %s is off by %.3g, PyTorch's in float32 by %.3g", p.name, d, float32Error[p.name])
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

// checkSteps holds the way from before to now against the reference's: that of
// the whole model within a share of its length, and each tensor's within `each`
// of its own. A share, because Adam turns gradients near zero into whole steps
// of either sign: a bias of keys, which softmax nearly cancels, has such
// gradients, and is why each may have to be more than share.
func (t *Trainer) checkSteps(tb *testing.T, before map[string][]float32, want *safetensors.Set, prefix string, share, each float64) {
	tb.Helper()
	var offs, ways float64 // squares
	for _, p := range t.net.params {
		after := values[float32](tb, want, prefix+p.name)
		off, way := distance(t.host(tb, p.master, p.elements()), after), distance(before[p.name], after)
		offs, ways = offs+off*off, ways+way*way
		if !(off <= each*way*slack()) || way == 0 {
			tb.Errorf("%s moved %.3g and ended %.3g beside the reference, %.2g of it", p.name, way, off, off/way)
		}
	}
	if !(offs <= share*share*ways) {
		tb.Errorf("the step is %.2g of its length beside the reference", math.Sqrt(offs/ways))
	}
}
