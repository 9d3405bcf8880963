package grpo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/updater"
)

// options are settings beyond JustRL's. Where the tokens of a response share a
// ratio and have weights of their own, the gradient is by definition not the
// derivative of the loss: each token's weight goes with its own part.
var options = map[string]struct {
	set        func(*updater.Config)
	derivative bool
}{
	"k1":       {func(c *updater.Config) { c.KLCoef, c.KLEstimator = 0.4, updater.KLEstimatorK1 }, true},
	"k2":       {func(c *updater.Config) { c.KLCoef, c.KLEstimator = 0.4, updater.KLEstimatorK2 }, true},
	"k3":       {func(c *updater.Config) { c.KLCoef = 0.4 }, true},
	"entropy":  {func(c *updater.Config) { c.EntropyCoef = 0.1 }, true},
	"tis":      {func(c *updater.Config) { c.TISCap = 1.2 }, true},
	"sequence": {func(c *updater.Config) { c.Ratio = updater.RatioSequence }, true},
	"all":      {func(c *updater.Config) { c.KLCoef, c.EntropyCoef, c.TISCap = 0.4, 0.1, 1.2 }, true},
	"sequence all": {func(c *updater.Config) {
		c.Ratio, c.KLCoef, c.EntropyCoef, c.TISCap = updater.RatioSequence, 0.4, 0.1, 1.2
	}, false},
}

// optionBatch is a batch with all that any option needs.
func optionBatch(r *rand.Rand, n int) []Response {
	b := randomBatch(r, n)
	out := make([]Response, n)
	for i := range out {
		out[i] = Response{Logp: b.logp[i], Old: b.old[i], Advantage: b.advantage[i]}
		for t := range b.logp[i] {
			out[i].Server = append(out[i].Server, b.old[i][t]+0.4*r.NormFloat64())
			out[i].Reference = append(out[i].Reference, b.logp[i][t]+0.6*r.NormFloat64())
			out[i].Entropy = append(out[i].Entropy, 2*r.Float64())
		}
	}
	return out
}

func runOptions(cfg updater.Config, batch []Response, packs [][]int) (m updater.UpdateMetrics, dlogp [][]float64, dentropy []float64) {
	lengths := make([]int, len(batch))
	for i, r := range batch {
		lengths[i] = len(r.Logp)
	}
	o := NewObjective(cfg, lengths)
	dlogp, dentropy = make([][]float64, len(batch)), make([]float64, len(batch))
	for _, p := range packs {
		o.MicroBatch(p)
		for _, i := range p {
			dlogp[i], dentropy[i] = o.Add(i, batch[i])
		}
	}
	return o.Metrics(), dlogp, dentropy
}

// loss is the whole of it.
func loss(cfg updater.Config, m updater.UpdateMetrics) float64 {
	return m.PGLoss + cfg.KLCoef*m.KLLoss - cfg.EntropyCoef*m.EntropyLoss
}

// The gradients against central differences of the loss, away from kinks. A
// response's loss under the sequence ratio is T equal terms, each with 1/T of
// the response's derivative by a token: together the very gradient that the
// formula gives each token on its own.
func TestOptionGradientsAreDerivatives(t *testing.T) {
	const h = 1e-5
	for name, option := range options {
		if !option.derivative {
			continue
		}
		for _, aggregation := range aggregations {
			t.Run(name+"/"+aggregation, func(t *testing.T) {
				r := rand.New(rand.NewPCG(7, 7))
				cfg := config(aggregation)
				cfg.ClipC = 2
				option.set(&cfg)
				batch, packs := optionBatch(r, 12), randomPacks(r, 12)
				_, dlogp, dentropy := runOptions(cfg, batch, packs)
				slope := func(x *float64) float64 {
					was := *x
					*x = was + h
					up, _, _ := runOptions(cfg, batch, packs)
					*x = was - h
					down, _, _ := runOptions(cfg, batch, packs)
					*x = was
					return (loss(cfg, up) - loss(cfg, down)) / (2 * h)
				}
				checked := 0
				for i, response := range batch {
					ratios := NewObjective(cfg, []int{len(response.Logp)}).logRatios(response)
					for j := range response.Logp {
						if got, want := dentropy[i], slope(&response.Entropy[j]); math.Abs(got-want) > 1e-8 {
							t.Errorf("response %d, token %d: gradient %g by the entropy, slope %g", i, j, got, want)
						}
						if slices.ContainsFunc([]float64{1 - cfg.ClipLow, 1 + cfg.ClipHigh, cfg.ClipC}, func(kink float64) bool { return math.Abs(math.Exp(ratios[j])/kink-1) < 10*h }) {
							continue
						}
						if got, want := dlogp[i][j], slope(&response.Logp[j]); math.Abs(got-want) > 1e-8 {
							t.Errorf("response %d, token %d: gradient %g, slope %g", i, j, got, want)
						}
						checked++
					}
				}
				if checked < 40 {
					t.Errorf("only %d tokens checked", checked)
				}
			})
		}
	}
}

// What holds of the bare objective holds of every option: the same bits
// whatever the packs and their order.
func TestOptionsDoNotDependOnPacksOrOrder(t *testing.T) {
	for name, option := range options {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(8, 8))
			cfg := config(updater.SeqMeanTokenMean)
			option.set(&cfg)
			for range 20 {
				batch := optionBatch(r, 9)
				want, wantLogp, wantEntropy := runOptions(cfg, batch, randomPacks(r, 9))
				got, dlogp, dentropy := runOptions(cfg, batch, randomPacks(r, 9))
				got.Packs = want.Packs
				if d := cmp.Diff(want, got) + cmp.Diff(wantLogp, dlogp) + cmp.Diff(wantEntropy, dentropy); d != "" {
					t.Fatal(d)
				}
			}
		})
	}
}

// An option that is off changes nothing, and does not look at what only it needs.
func TestOptionsOff(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	batch, packs := optionBatch(r, 8), randomPacks(r, 8)
	bare := make([]Response, len(batch))
	for i, b := range batch {
		bare[i] = Response{Logp: b.Logp, Old: b.Old, Advantage: b.Advantage}
		batch[i].Server, batch[i].Reference, batch[i].Entropy = []float64{math.NaN()}, []float64{math.NaN()}, []float64{math.NaN()}
	}
	want, wantLogp, _ := runOptions(config(updater.TokenMean), bare, packs)
	got, dlogp, dentropy := runOptions(config(updater.TokenMean), batch, packs)
	if d := cmp.Diff(want, got) + cmp.Diff(wantLogp, dlogp); d != "" {
		t.Error(d)
	}
	if slices.ContainsFunc(dentropy, func(d float64) bool { return d != 0 }) || got.KLLoss != 0 || got.EntropyLoss != 0 || got.TISMean != 0 {
		t.Errorf("%+v, gradients by the entropies %v", got, dentropy)
	}
}

// One token, worked by hand: p = 0.5 now, q = 0.25 by the reference.
func TestReferenceKLByHand(t *testing.T) {
	for _, c := range []struct {
		estimator       string
		logp, reference float64
		kl, dlogp       float64
	}{
		{updater.KLEstimatorK1, math.Log(0.5), math.Log(0.25), math.Ln2, 1},
		{updater.KLEstimatorK2, math.Log(0.5), math.Log(0.25), math.Ln2 * math.Ln2 / 2, math.Ln2},
		{updater.KLEstimatorK3, math.Log(0.5), math.Log(0.25), math.Ln2 - 0.5, 0.5},
		{updater.KLEstimatorK3, -1, -1, 0, 0},
		{updater.KLEstimatorK1, -3, -1, -2, 1},
		// Far below the reference: past the bound of 10 nothing pulls it back, as in verl.
		{updater.KLEstimatorK3, -4, -1, 10, 0},
		{updater.KLEstimatorK3, -1, -26, 10, 0}, // e⁻²⁵ − 1 + 25, and then the bound
		{updater.KLEstimatorK3, -1, -9, 7 + math.Exp(-8), 1 - math.Exp(-8)},
	} {
		kl, dlogp := referenceKL(c.estimator, c.logp, c.reference)
		if math.Abs(kl-c.kl) > 1e-14 || math.Abs(dlogp-c.dlogp) > 1e-14 {
			t.Errorf("%s of %g against %g: %g with derivative %g, want %g and %g", c.estimator, c.logp, c.reference, kl, dlogp, c.kl, c.dlogp)
		}
	}
}

// Near agreement k3 is half the square of the log-ratio, not what is left of 1 + x − 1 − x.
func TestK3NearZero(t *testing.T) {
	for _, d := range []float64{1e-4, -1e-4, 1e-7, -1e-7} {
		if got, want := k3(d), d*d/2; math.Abs(got/want-1) > 1e-4 {
			t.Errorf("k3(%g) is %g, want about %g", d, got, want)
		}
	}
}

// A token drawn from distributions p, against the sums that the estimators
// estimate: k1 and k3 of KL(now ‖ reference) are unbiased, whatever p and q.
func TestEstimatorsAreUnbiased(t *testing.T) {
	p, q := []float64{0.5, 0.3, 0.15, 0.05}, []float64{0.2, 0.4, 0.1, 0.3}
	want, k1, k3, moved1, moved3 := 0.0, 0.0, 0.0, 0.0, 0.0
	for v := range p {
		lp, lq := math.Log(p[v]), math.Log(q[v])
		want += p[v] * (lp - lq)
		a, _ := referenceKL(updater.KLEstimatorK1, lp, lq)
		b, _ := referenceKL(updater.KLEstimatorK3, lp, lq)
		k1, k3 = k1+p[v]*a, k3+p[v]*b
		a, b = movedKL(lq, lp) // drawn from p, the old policy; q is the new one
		moved1, moved3 = moved1+p[v]*a, moved3+p[v]*b
	}
	for name, got := range map[string]float64{"k1": k1, "k3": k3, "ppo_kl": moved1, "ppo_kl_k3": moved3} {
		if math.Abs(got-want) > 1e-15 {
			t.Errorf("%s is %g on average, the divergence %g", name, got, want)
		}
	}
}

// Two tokens with ratios 2 and 1/2 have a sequence ratio of 1; three of 1.5 one of 1.5.
func TestSequenceRatioByHand(t *testing.T) {
	cfg := config(updater.SeqMeanTokenMean)
	cfg.Ratio = updater.RatioSequence
	o := NewObjective(cfg, []int{2, 3})
	first, _ := o.Add(0, Response{Logp: []float64{math.Ln2 - 3, -math.Ln2 - 1}, Old: []float64{-3, -1}, Advantage: 1})
	second, _ := o.Add(1, Response{Logp: []float64{math.Log(1.5), math.Log(1.5), math.Log(1.5)}, Old: []float64{0, 0, 0}, Advantage: 2})
	m := o.Metrics()
	near(t, "loss", m.PGLoss, (-1-2*1.28)/2, 1e-14)
	near(t, "clipped", m.PGClipFrac, 3.0/5, 1e-14) // all tokens of the second, none of the first
	near(t, "ppo_kl", m.PPOKL, -3*math.Log(1.5)/5, 1e-14)
	for _, g := range first { // w = 1/(2·2)
		near(t, "gradient", g, -1.0/4, 1e-14)
	}
	if !slices.Equal(second, []float64{0, 0, 0}) {
		t.Errorf("gradient %v of a response above the bound", second)
	}
}

func TestImportanceByHand(t *testing.T) {
	cfg := config(updater.TokenMean)
	cfg.TISCap = 2
	o := NewObjective(cfg, []int{4})
	old := []float64{-2, -2, -2, -2}
	grad, _ := o.Add(0, Response{Logp: old, Old: old, Advantage: 1,
		Server: []float64{-2, -2 - math.Ln2, -2 - math.Log(8), -2 + math.Log(4)}})
	want := []float64{1, 2, 2, 0.25}
	for i := range grad {
		near(t, "gradient", grad[i], -want[i]/4, 1e-14)
	}
	m := o.Metrics()
	near(t, "loss", m.PGLoss, -5.25/4, 1e-14)
	near(t, "mean weight", m.TISMean, 5.25/4, 1e-14)
	if m.TISCapped != 0.25 && m.TISCapped != 0.5 { // rounding decides about the one that is exactly 2
		t.Errorf("share capped %g", m.TISCapped)
	}
}

// What an option needs and is not finite is named.
func TestOptionsNonFiniteInput(t *testing.T) {
	one := func() Response {
		v := func() []float64 { return []float64{-1, -1} }
		return Response{Logp: v(), Old: v(), Advantage: 1, Server: v(), Reference: v(), Entropy: v()}
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for name, c := range map[string]struct {
			option string
			spoil  func(*Response)
		}{
			"the server's log-prob":          {"tis", func(r *Response) { r.Server[1] = bad }},
			"the reference model's log-prob": {"k3", func(r *Response) { r.Reference[1] = bad }},
			"the entropy":                    {"entropy", func(r *Response) { r.Entropy[1] = bad }},
		} {
			cfg := config(updater.TokenMean)
			options[c.option].set(&cfg)
			r := one()
			c.spoil(&r)
			o := NewObjective(cfg, []int{2})
			dlogp, _ := o.Add(0, r)
			want := fmt.Sprintf("grpo: response 0, token 1: %s is %g: not finite", name, bad)
			if err := o.Err(); err == nil || err.Error() != want {
				t.Errorf("error is %v, want %s", err, want)
			}
			if m := o.Metrics(); !math.IsNaN(m.PGLoss) || c.option != "entropy" && !math.IsNaN(dlogp[1]) {
				t.Errorf("%s: loss %g, gradients %v", name, m.PGLoss, dlogp)
			}
		}
	}
}

func TestOptionsMisusePanics(t *testing.T) {
	for name, want := range map[string]string{"tis": "0 log-probs of the server", "k3": "0 log-probs of the reference", "entropy": "0 entropies"} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("panic %q, want one that says %q", got, want)
				}
			}()
			cfg := config(updater.TokenMean)
			options[name].set(&cfg)
			NewObjective(cfg, []int{1}).Add(0, Response{Logp: []float64{-1}, Old: []float64{-1}, Advantage: 1})
		})
	}
}

func FuzzTerms(f *testing.F) {
	f.Add(-1.0, -2.0, 2.0)
	f.Add(-1.0, -90.0, 0.5)
	f.Add(math.Inf(-1), math.NaN(), 1e300)
	f.Fuzz(func(t *testing.T, a, b, limit float64) {
		for _, estimator := range []string{updater.KLEstimatorK1, updater.KLEstimatorK2, updater.KLEstimatorK3} {
			kl, dlogp := referenceKL(estimator, a, b)
			switch {
			case !finite(a) || !finite(b):
				if !math.IsNaN(kl) {
					t.Errorf("%s of %g and %g is %g", estimator, a, b, kl)
				}
			case estimator == updater.KLEstimatorK3 && !(kl >= 0 && kl <= maxK3 && dlogp <= 1):
				t.Errorf("%s of %g and %g is %g, derivative %g", estimator, a, b, kl, dlogp)
			case estimator != updater.KLEstimatorK1 && dlogp*(a-b) < 0:
				t.Errorf("%s of %g and %g pulls away from the reference: derivative %g", estimator, a, b, dlogp)
			}
		}
		if finite(a) && finite(b) && finite(limit) && limit > 0 {
			if w, _ := importance(a, b, limit); !(w > 0 && w <= limit) {
				t.Errorf("weight %g of %g and %g, limit %g", w, a, b, limit)
			}
		}
	})
}
