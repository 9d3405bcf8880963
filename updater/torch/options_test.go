//go:build torch

package torch

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/justrl/justrl/updater"
)

// optionCases is options.json, see testdata/make_options.py.
type optionCases struct {
	Server map[string][][]float32 // log-probs of a model's batch
	Cases  []struct {
		Name, Model, Reference, Aggregation, Ratio string
		Temperature                                float64
		TISCap                                     float64 `json:"tis_cap"`
		EntropyCoef                                float64 `json:"entropy_coef"`
		KLCoef                                     float64 `json:"kl_coef"`
		KLEstimator                                string  `json:"kl_estimator"`
		Partitions                                 [][]int
		Want                                       struct {
			PGLoss      float64 `json:"pg_loss"`
			Entropy     float64
			KLLoss      float64 `json:"kl_loss"`
			EntropyLoss float64 `json:"entropy_loss"`
			TISMean     float64 `json:"tis_mean"`
			TISCapped   float64 `json:"tis_capped"`
			GradNorm    float64 `json:"grad_norm"`
		}
	}
}

// everything turns every option on.
func everything(o *Options) {
	o.Update.Ratio, o.Update.TISCap, o.Update.EntropyCoef, o.Update.KLCoef = updater.RatioSequence, 1.5, 0.02, 0.1
	o.Update.Reference = filepath.Join("testdata", "qwen3_qknorm")
}

// The loss's parts and the gradients of the parameters, against autograd.
func TestOptionsMatchPyTorch(t *testing.T) {
	var all optionCases
	readJSON(t, filepath.Join("testdata", "options.json"), &all)
	if len(all.Cases) != 9 {
		t.Fatalf("%d cases, want 9", len(all.Cases))
	}
	for _, c := range all.Cases {
		t.Run(c.Name, func(t *testing.T) {
			var batch []recorded
			dir := filepath.Join("testdata", c.Model)
			readJSON(t, filepath.Join(dir, "batch.json"), &batch)
			trainer := openTrainer(t, dir, func(o *Options) {
				u := &o.Update
				u.Aggregation, u.Ratio, u.Temperature = c.Aggregation, c.Ratio, c.Temperature
				u.TISCap, u.EntropyCoef, u.KLCoef, u.KLEstimator = c.TISCap, c.EntropyCoef, c.KLCoef, c.KLEstimator
				u.Reference = filepath.Join("testdata", c.Reference)
			})
			mini := trainer.samples(t, groupsOf(batch))
			for i, s := range mini {
				s.own, s.server = batch[i].Old, all.Server[c.Model][i]
			}
			got := trainer.gradientOf(t, mini, c.Partitions)
			for _, f := range []struct {
				name      string
				got, want float64
			}{
				{"pg_loss", got.PGLoss, c.Want.PGLoss}, {"entropy", got.Entropy, c.Want.Entropy}, {"kl_loss", got.KLLoss, c.Want.KLLoss},
				{"entropy_loss", got.EntropyLoss, c.Want.EntropyLoss}, {"tis_mean", got.TISMean, c.Want.TISMean},
				{"tis_capped", got.TISCapped, c.Want.TISCapped}, {"grad_norm", got.GradNorm, c.Want.GradNorm},
			} {
				if math.Abs(f.got-f.want) > 5e-5*math.Max(math.Abs(f.want), 0.02) {
					t.Errorf("%s = %.9g, want %.9g", f.name, f.got, f.want)
				}
			}
			want := openTensors(t, filepath.Join("testdata", "options.safetensors"))
			compared := 0
			for _, p := range trainer.net.params {
				if _, ok := want.Info(c.Name + "/" + p.name); !ok {
					continue
				}
				compared++
				g := values[float32](t, want, c.Name+"/"+p.name)
				if d := distance(trainer.host(t, p.grad, p.elements()), g) / distance(g, make([]float32, len(g))); !(d < 2e-5) {
					t.Errorf("gradient of %s is off by %.3g of its length", p.name, d)
				}
			}
			if compared < 4 {
				t.Errorf("the reference has the gradients of %d tensors", compared)
			}
		})
	}
}

// d(Σ a·logp + b·H)/d hidden and /d weight by central differences of the same
// sums in float64, whatever number of rows is done at a time.
func TestEntropyBackwardIsTheDerivative(t *testing.T) {
	const n, e, v = 5, 3, 7
	const temperature = 0.7
	hidden, weight := make([]float64, n*e), make([]float64, v*e)
	for i := range hidden {
		hidden[i] = math.Sin(float64(3*i + 1))
	}
	for i := range weight {
		weight[i] = math.Cos(float64(5*i + 2))
	}
	targets := []int64{0, 6, 2, 2, 5}
	a, b := []float64{0.5, -1, 0, 2, 0.25}, []float64{1, 0.5, -2, 0, 0.75}
	sum := func() (total float64) {
		for i := range n {
			logits, norm := make([]float64, v), 0.0
			for k := range v {
				for j := range e {
					logits[k] += hidden[i*e+j] * weight[k*e+j] / temperature
				}
				norm += math.Exp(logits[k])
			}
			for k := range v {
				logp := logits[k] - math.Log(norm)
				total -= b[i] * math.Exp(logp) * logp
				if int64(k) == targets[i] {
					total += a[i] * logp
				}
			}
		}
		return total
	}
	slopes := func(x []float64) []float64 {
		out := make([]float64, len(x))
		for i, was := range x {
			const h = 1e-6
			x[i] = was + h
			up := sum()
			x[i] = was - h
			out[i] = (up - sum()) / (2 * h)
			x[i] = was
		}
		return out
	}
	trainer := openTrainer(t, filepath.Join("testdata", "qwen2_tied"))
	narrow := func(v []float64) []float32 {
		out := make([]float32, len(v))
		for i, x := range v {
			out[i] = float32(x)
		}
		return out
	}
	for _, rows := range []int{1, 2, 5, 100} {
		var dhidden, dweight []float32
		err := trainer.worker.do(func() error {
			s := newScope(trainer.counter)
			defer s.close()
			h, w := s.view(s.floats(narrow(hidden), -1), n, e), s.view(s.floats(narrow(weight), -1), v, e)
			at := s.ints(targets, -1)
			dw := s.zerosLike(w)
			dhidden = nil
			for first := 0; first < n; first += rows {
				m := min(rows, n-first)
				c := chunk{hidden: s.slice(h, int64(first), int64(m)), targets: s.slice(at, int64(first), int64(m))}
				c.logits, c.logp, c.entropy, c.lse = s.logits(c.hidden, w, c.targets, temperature)
				dh := s.logitsBackward(c, w, s.floats(narrow(a[first:][:m]), -1), s.floats(narrow(b[first:][:m]), -1), temperature, dw)
				dhidden = append(dhidden, s.read(dh, m*e)...)
			}
			dweight = s.read(dw, v*e)
			return s.err
		})
		if err != nil {
			t.Fatal(err)
		}
		if d := max(farthest(t, dhidden, slopes(hidden)), farthest(t, dweight, slopes(weight))); !(d < 3e-6) {
			t.Errorf("%d rows at a time: a gradient is off by %.3g", rows, d)
		}
	}
}

// Packs and recomputation change nothing with the options on either.
func TestOptionsDoNotDependOnPacksOrRecompute(t *testing.T) {
	var want []float64
	for _, c := range []struct {
		tokens    int
		recompute bool
	}{{4096, false}, {64, false}, {64, true}, {8, true}} {
		trainer := openTrainer(t, filepath.Join("testdata", "qwen2_tied"), everything, func(o *Options) {
			o.Update.MaxPackTokens, o.Update.Recompute, o.Update.MiniBatch, o.Update.Epochs, o.Optimizer.LR = c.tokens, c.recompute, 2, 2, 1e-4
		})
		result, err := trainer.Step(context.Background(), 0, fixtureBatch(t, "qwen2_tied"), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []float64
		for _, u := range result.Updates {
			got = append(got, u.PGLoss, u.KLLoss, u.EntropyLoss, u.TISMean, u.TISCapped, u.GradNorm)
		}
		if want == nil {
			want = got
		}
		for i := range got {
			if relative(got[i], want[i]) > 2e-4 && math.Abs(got[i]-want[i]) > 2e-6 {
				t.Errorf("packs of %d tokens, recompute %t: %v, want %v", c.tokens, c.recompute, got, want)
				break
			}
		}
	}
}

// The reference is the model that training began with: on a trainer that is
// resumed too, whose policy is another one by then.
func TestReferenceSurvivesResume(t *testing.T) {
	onCPU(t)
	ctx := context.Background()
	dir, state := filepath.Join("testdata", "qwen2_untied"), t.TempDir()
	edit := func(o *Options) {
		o.Update.KLCoef, o.Update.KLEstimator, o.Optimizer.LR = 0.2, updater.KLEstimatorK1, 1e-2
	}
	groups := fixtureBatch(t, "qwen2_untied")
	first := openTrainer(t, dir, edit)
	before, err := first.Step(ctx, 0, groups, nil)
	if err != nil {
		t.Fatal(err)
	}
	if kl := before.Updates[0].KLLoss; math.Abs(kl) > 1e-6 {
		t.Errorf("before the first update the policy is %g from itself", kl)
	}
	if err := first.SaveState(ctx, state); err != nil {
		t.Fatal(err)
	}
	want, err := first.Step(ctx, 1, groups, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want.Updates[0].KLLoss == 0 || want.Updates[0].KLCoef != 0.2 {
		t.Errorf("after an update: %+v", want.Updates[0])
	}
	for name, more := range map[string]func(*Options){
		"by the model's folder": func(*Options) {},
		"by name":               func(o *Options) { o.Update.Reference = dir },
	} {
		second := openTrainer(t, dir, edit, more)
		if err := second.LoadState(ctx, state); err != nil {
			t.Fatal(err)
		}
		got, err := second.Step(ctx, 1, groups, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !equalJSON(t, want, got) || sum(t, first) != sum(t, second) {
			t.Errorf("%s: the resumed step is %+v, want %+v", name, got.Updates, want.Updates)
		}
	}
}

// The reference costs its weights and nothing else, and only where it is asked for.
func TestReferenceIsFrozen(t *testing.T) {
	ctx := context.Background()
	none := openTrainer(t, filepath.Join("testdata", "qwen2_tied"), func(o *Options) { o.Update.Reference = "not there" })
	if len(none.reference.params) != 0 {
		t.Error("a reference was loaded without kl_coef")
	}
	for _, dtype := range []string{"float32", "bfloat16"} {
		trainer := openTrainer(t, filepath.Join("testdata", "qwen2_tied"), everything, func(o *Options) { o.DType, o.Optimizer.LR = dtype, 1e-2 })
		hash := func() (all []float32) {
			for _, p := range trainer.reference.params {
				all = append(all, trainer.host(t, p.value, p.elements())...)
			}
			return all
		}
		before, live := hash(), len(trainer.reference.params)+1+blocksOf(&trainer.reference)
		if n := int(trainer.counter.live.Load()) - handlesOf(&trainer.net); n != live {
			t.Errorf("%s: the reference holds %d tensors, want %d: its parameters, the blocks that they are views of, the frequencies", dtype, n, live)
		}
		if _, err := trainer.Step(ctx, 0, fixtureBatch(t, "qwen2_tied"), nil); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(before, hash()) {
			t.Errorf("%s: a step changed the reference", dtype)
		}
		for _, p := range trainer.reference.params {
			if p.master != p.value || p.grad.ok() || p.m.ok() || p.v.ok() {
				t.Errorf("%s: %s has more than its value", dtype, p.name)
			}
		}
	}
}

func handlesOf(n *network) int {
	handles := 1 + blocksOf(n) // the frequencies
	for _, p := range n.params {
		handles++
		if p.master != p.value {
			handles++
		}
	}
	return handles
}

// blocksOf counts the tensors of n's blocks.
func blocksOf(n *network) int {
	tensors := 0
	for _, b := range n.blocks {
		tensors++
		if b.bias.ok() {
			tensors++
		}
	}
	return tensors
}

func TestReferenceRefused(t *testing.T) {
	wide := t.TempDir()
	for name, edit := range map[string]func([]byte) []byte{
		"config.json": func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"vocab_size": 96`, `"vocab_size": 97`, 1))
		},
		"model.safetensors": func(b []byte) []byte { return b },
	} {
		b, err := os.ReadFile(filepath.Join("testdata", "qwen2_tied", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(wide, name), edit(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	missing := filepath.Join(t.TempDir(), "gone")
	for dir, want := range map[string]string{missing: missing, wide: wide, filepath.Join("..", "..", "examples", "arithmetic", "policy"): "the policy in " + filepath.Join("testdata", "qwen2_tied") + " one of 96"} {
		o := Options{Dir: filepath.Join("testdata", "qwen2_tied"), Threads: 1, Update: updater.DefaultConfig()}
		o.Update.KLCoef, o.Update.Reference = 0.1, dir
		trainer, err := Open(context.Background(), o)
		if err == nil {
			t.Errorf("%s was taken: %v", dir, trainer.Close())
			continue
		}
		if !strings.HasPrefix(err.Error(), "update.reference: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error is %v", dir, err)
		}
	}
}

// Truncated importance sampling needs what the server said.
func TestImportanceNeedsLogprobs(t *testing.T) {
	trainer := openTrainer(t, filepath.Join("testdata", "qwen2_tied"), func(o *Options) { o.Update.TISCap = 2 })
	groups := fixtureBatch(t, "qwen2_tied")
	groups[1].Rollouts[2].Logprobs = nil
	_, err := trainer.Step(context.Background(), 0, groups, nil)
	if err == nil || !strings.Contains(err.Error(), "group 1, rollout 2") || !strings.Contains(err.Error(), "update.tis_cap is 2") {
		t.Errorf("error is %v", err)
	}
}

// The mismatch names the worst token by its group, its rollout and its place in the response.
func TestMismatchNamesTheWorstToken(t *testing.T) {
	trainer := openTrainer(t, filepath.Join("testdata", "qwen2_tied"), func(o *Options) { o.Update.MiniBatch = 1 })
	groups := fixtureBatch(t, "qwen2_tied")
	for i := range groups {
		groups[i].Ordinal = int64(100 - i)
	}
	response := groups[1].Rollouts[3].Logprobs
	response[len(response)-1] = -60
	result, err := trainer.Step(context.Background(), 0, groups, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := result.Mismatch
	if m.WorstGroup != 99 || m.WorstRollout != 3 || m.WorstToken != len(response)-1 || !(m.WorstLogRatio > 40) {
		t.Errorf("the worst token is %d of rollout %d of group %d, by %g; want %d of 3 of 99, by more than 40", m.WorstToken, m.WorstRollout, m.WorstGroup, m.WorstLogRatio, len(response)-1)
	}
	if !(m.K3 > 0) {
		t.Errorf("k3 is %g", m.K3)
	}
}
