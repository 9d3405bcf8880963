package grpo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/updater"
)

var aggregations = []string{updater.TokenMean, updater.TokenMeanVerl, updater.SeqMeanTokenSum, updater.SeqMeanTokenMean, updater.SeqMeanTokenSumNorm}

func config(aggregation string) updater.Config {
	cfg := updater.DefaultConfig()
	cfg.Aggregation = aggregation
	return cfg
}

// add is Add of what the bare objective needs.
func add(o *Objective, i int, logp, old []float64, advantage float64) []float64 {
	dlogp, _ := o.Add(i, Response{Logp: logp, Old: old, Advantage: advantage})
	return dlogp
}

// The recipe worked by hand, token by token: A = ±1, so the numbers are the ratios.
func TestObjectiveByHand(t *testing.T) {
	for name, c := range map[string]struct {
		ratio, advantage float64
		loss, grad       float64
		clipped, lower   bool
	}{
		"unchanged, good":               {1, 1, -1, -1, false, false},
		"unchanged, bad":                {1, -1, 1, 1, false, false},
		"inside, good":                  {1.25, 1, -1.25, -1.25, false, false},
		"above the upper bound, good":   {1.5, 1, -1.28, 0, true, false},
		"above the upper bound, bad":    {1.5, -1, 1.5, 1.5, false, false},
		"below the lower bound, good":   {0.5, 1, -0.5, -0.5, false, false},
		"below the lower bound, bad":    {0.5, -1, 0.8, 0, true, false},
		"above c, bad":                  {16, -1, 10, 0, false, true},
		"above c, good":                 {16, 1, -1.28, 0, true, false},
		"no advantage, whatever moved":  {16, 0, 0, 0, false, false},
		"twice the advantage, twice it": {1.25, 2, -2.5, -2.5, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := NewObjective(config(updater.TokenMean), []int{1})
			grad := add(o, 0, []float64{math.Log(c.ratio) - 2}, []float64{-2}, c.advantage)
			m := o.Metrics()
			got := []float64{m.PGLoss, grad[0], m.PGClipFrac, m.PGClipFracLower, m.PPOKL}
			want := []float64{c.loss, c.grad, boolFloat(c.clipped), boolFloat(c.lower), -math.Log(c.ratio)}
			if !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-14*16 }) {
				t.Errorf("loss, gradient, clipfrac, clipfrac_lower, kl are %v, want %v", got, want)
			}
		})
	}
}

func boolFloat(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Two responses of 1 and 3 tokens whose token losses are all −1 and all −2:
// the aggregations worked by hand.
func TestAggregationsByHand(t *testing.T) {
	for name, c := range map[string]struct {
		aggregation string
		norm        int
		packs       [][]int
		want        float64
	}{
		"token-mean":                         {updater.TokenMean, 0, [][]int{{0, 1}}, -(1 + 3*2) / 4.0},
		"token-mean, in two packs":           {updater.TokenMean, 0, [][]int{{1}, {0}}, -(1 + 3*2) / 4.0},
		"token-mean-verl, one micro-batch":   {updater.TokenMeanVerl, 0, [][]int{{0, 1}}, -(1 + 3*2) / 4.0},
		"token-mean-verl, two micro-batches": {updater.TokenMeanVerl, 0, [][]int{{0}, {1}}, -(1.0/2 + 2.0/2)},
		"seq-mean-token-sum":                 {updater.SeqMeanTokenSum, 0, [][]int{{0, 1}}, -(1 + 6) / 2.0},
		"seq-mean-token-mean":                {updater.SeqMeanTokenMean, 0, [][]int{{0, 1}}, -(1 + 2) / 2.0},
		"seq-mean-token-sum-norm":            {updater.SeqMeanTokenSumNorm, 0, [][]int{{0, 1}}, -(1 + 6) / 3.0},
		"seq-mean-token-sum-norm, given":     {updater.SeqMeanTokenSumNorm, 10, [][]int{{0, 1}}, -(1 + 6) / 10.0},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(c.aggregation)
			cfg.NormTokens = c.norm
			o := NewObjective(cfg, []int{1, 3})
			for _, p := range c.packs {
				o.MicroBatch(p)
				for _, i := range p {
					v := make([]float64, 1+2*i)
					add(o, i, v, v, float64(i+1))
				}
			}
			if got := o.Metrics().PGLoss; math.Abs(got-c.want) > 1e-15 {
				t.Errorf("loss is %.17g, want %.17g", got, c.want)
			}
		})
	}
}

// batch is random responses whose ratios reach every region of the loss.
type batch struct {
	lengths   []int
	logp, old [][]float64
	advantage []float64
}

func randomBatch(r *rand.Rand, n int) batch {
	var b batch
	for range n {
		t := 1 + r.IntN(12)
		b.lengths = append(b.lengths, t)
		var logp, old []float64
		for range t {
			old = append(old, -3*r.ExpFloat64())
			logp = append(logp, old[len(old)-1]+1.2*r.NormFloat64())
		}
		b.logp, b.old = append(b.logp, logp), append(b.old, old)
		b.advantage = append(b.advantage, []float64{r.NormFloat64(), 0}[boolIndex(r.IntN(8) == 0)])
	}
	return b
}

func boolIndex(b bool) int { return int(boolFloat(b)) }

func (b batch) run(cfg updater.Config, packs [][]int) (updater.UpdateMetrics, [][]float64) {
	o := NewObjective(cfg, b.lengths)
	grads := make([][]float64, len(b.lengths))
	for _, p := range packs {
		o.MicroBatch(p)
		for _, i := range p {
			grads[i] = add(o, i, b.logp[i], b.old[i], b.advantage[i])
		}
	}
	return o.Metrics(), grads
}

func randomPacks(r *rand.Rand, n int) [][]int {
	var packs [][]int
	order := r.Perm(n)
	for len(order) > 0 {
		k := 1 + r.IntN(len(order))
		packs, order = append(packs, order[:k]), order[k:]
	}
	return packs
}

// The derivative against central differences of the loss itself, away from kinks.
func TestGradientIsTheDerivative(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, aggregation := range aggregations {
		t.Run(aggregation, func(t *testing.T) {
			cfg := config(aggregation)
			cfg.ClipC = 2 // so that the dual clip holds some tokens
			b := randomBatch(r, 20)
			packs := randomPacks(r, 20)
			_, grads := b.run(cfg, packs)
			checked := 0
			for i := range b.logp {
				for j, x := range b.logp[i] {
					const h = 1e-5
					ratio := math.Exp(x - b.old[i][j])
					if slices.ContainsFunc([]float64{1 - cfg.ClipLow, 1 + cfg.ClipHigh, cfg.ClipC}, func(kink float64) bool { return math.Abs(ratio/kink-1) < 10*h }) {
						continue
					}
					b.logp[i][j] = x + h
					up, _ := b.run(cfg, packs)
					b.logp[i][j] = x - h
					down, _ := b.run(cfg, packs)
					b.logp[i][j] = x
					if slope := (up.PGLoss - down.PGLoss) / (2 * h); math.Abs(slope-grads[i][j]) > 1e-8 {
						t.Errorf("response %d, token %d, ratio %g, advantage %g: gradient %g, slope %g", i, j, ratio, b.advantage[i], grads[i][j], slope)
					}
					checked++
				}
			}
			if checked < 80 {
				t.Errorf("only %d tokens checked", checked)
			}
		})
	}
}

// Loss, metrics and gradients are the same bits whatever the packs and their
// order; only token-mean-verl's depend on the packs, by definition, and not on their order.
func TestPacksAndOrderDoNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, aggregation := range aggregations {
		t.Run(aggregation, func(t *testing.T) {
			for range 50 {
				b := randomBatch(r, 16)
				packs := randomPacks(r, 16)
				want, wantGrads := b.run(config(aggregation), packs)
				shuffled := slices.Clone(packs)
				r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
				for k, p := range shuffled {
					shuffled[k] = slices.Clone(p)
					r.Shuffle(len(p), func(i, j int) { shuffled[k][i], shuffled[k][j] = shuffled[k][j], shuffled[k][i] })
				}
				others := [][][]int{shuffled}
				if aggregation != updater.TokenMeanVerl {
					others = append(others, randomPacks(r, 16), randomPacks(r, 16))
				}
				for _, other := range others {
					got, grads := b.run(config(aggregation), other)
					got.Packs = want.Packs
					if d := cmp.Diff(want, got); d != "" {
						t.Fatalf("metrics differ in packs %v and %v:\n%s", packs, other, d)
					}
					if d := cmp.Diff(wantGrads, grads); d != "" {
						t.Fatalf("gradients differ in packs %v and %v:\n%s", packs, other, d)
					}
				}
			}
		})
	}
}

// A group of equal rewards moves nothing, but its tokens stay in the denominator.
func TestEqualRewardsStayInTheCount(t *testing.T) {
	logp, old := []float64{-1, -1}, []float64{-1, -1}
	o := NewObjective(config(updater.TokenMean), []int{2, 2})
	add(o, 0, logp, old, 1)
	for _, g := range add(o, 1, logp, old, Advantages([]float64{1, 1}, true)[0]) {
		if g != 0 {
			t.Errorf("gradient %g of a group of equal rewards", g)
		}
	}
	if m := o.Metrics(); m.PGLoss != -0.5 || m.Tokens != 4 {
		t.Errorf("loss %g over %d tokens, want -0.5 over 4", m.PGLoss, m.Tokens)
	}
}

// Nothing that is not finite may pass for a number.
func TestNonFiniteInput(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for where := range 3 {
			v := [3]float64{-1, -1, 1}
			v[where] = bad
			t.Run(fmt.Sprint(v), func(t *testing.T) {
				for _, aggregation := range aggregations {
					o := NewObjective(config(aggregation), []int{1, 2})
					o.MicroBatch([]int{0, 1})
					add(o, 0, []float64{-1}, []float64{-1}, 1)
					grad := add(o, 1, []float64{-1, v[0]}, []float64{-1, v[1]}, v[2])
					if !math.IsNaN(grad[1]) || !math.IsNaN(o.Metrics().PGLoss) || !math.IsNaN(o.Metrics().PPOKL) {
						t.Errorf("%s: gradient %v, metrics %+v", aggregation, grad, o.Metrics())
					}
					want := fmt.Sprintf("grpo: response 1, token 1: log-prob %g, old log-prob %g, advantage %g: not finite", v[0], v[1], v[2])
					if where == 2 { // the advantage is every token's
						want = fmt.Sprintf("grpo: response 1, token 0: log-prob -1, old log-prob -1, advantage %g: not finite", bad)
					}
					if err := o.Err(); err == nil || err.Error() != want {
						t.Errorf("error is %v, want %s", err, want)
					}
				}
			})
		}
	}
}

func TestErrCountsTheMissing(t *testing.T) {
	o := NewObjective(config(updater.TokenMean), []int{1, 1, 1})
	add(o, 1, []float64{-1}, []float64{-1}, 1)
	if err := o.Err(); err == nil || err.Error() != "grpo: 2 of 3 responses were not added whole" {
		t.Errorf("error is %v", err)
	}
	add(o, 0, []float64{-1}, []float64{-1}, 1)
	add(o, 2, []float64{-1}, []float64{-1}, math.MaxFloat64)
	if err := o.Err(); err != nil {
		t.Error(err)
	}
}

// Responses that come in pieces, between those of others, give the same to the last bit.
func TestPiecesChangeNothing(t *testing.T) {
	logp := [][]float64{{-1.25, -0.5, -2, -3.125, -0.25}, {-1, -1.5}}
	old := [][]float64{{-1, -1.75, -2.5, -0.5, -0.125}, {-0.75, -2}}
	for _, aggregation := range []string{updater.TokenMean, updater.TokenMeanVerl, updater.SeqMeanTokenMean} {
		whole, pieces := NewObjective(config(aggregation), []int{5, 2}), NewObjective(config(aggregation), []int{5, 2})
		var want, got [2][]float64
		for _, o := range []*Objective{whole, pieces} {
			o.MicroBatch([]int{0, 1})
		}
		for i := range logp {
			want[i] = add(whole, i, logp[i], old[i], 0.75)
		}
		for _, p := range [][3]int{{0, 0, 1}, {1, 0, 1}, {0, 1, 4}, {0, 4, 5}, {1, 1, 2}} {
			got[p[0]] = append(got[p[0]], add(pieces, p[0], logp[p[0]][p[1]:p[2]], old[p[0]][p[1]:p[2]], 0.75)...)
			if whole := p[0] == 1 && p[2] == 2; (pieces.Err() == nil) != whole {
				t.Errorf("%s: after %v the error is %v", aggregation, p, pieces.Err())
			}
		}
		if !reflect.DeepEqual(got, want) || whole.Metrics() != pieces.Metrics() {
			t.Errorf("%s: gradients %v and %+v, whole %v and %+v", aggregation, got, pieces.Metrics(), want, whole.Metrics())
		}
	}
}

func TestErrOverflow(t *testing.T) {
	o := NewObjective(config(updater.SeqMeanTokenSum), []int{2})
	add(o, 0, []float64{0, 0}, []float64{0, 0}, math.MaxFloat64)
	if err := o.Err(); err == nil || err.Error() != "grpo: the loss overflows" {
		t.Errorf("error is %v", err)
	}
}

func TestMisusePanics(t *testing.T) {
	one := []float64{-1}
	for name, f := range map[string]func(){
		"unknown aggregation": func() { NewObjective(config("mean"), nil) },
		"a part of a whole": func() {
			cfg := config(updater.SeqMeanTokenMean)
			cfg.Ratio = updater.RatioSequence
			add(NewObjective(cfg, []int{2}), 0, one, one, 1)
		},
		"too few old ones": func() { add(NewObjective(config(updater.TokenMean), []int{1}), 0, one, nil, 1) },
		"twice": func() {
			o := NewObjective(config(updater.TokenMean), []int{1})
			add(o, 0, one, one, 1)
			add(o, 0, one, one, 1)
		},
		"no micro-batch": func() { add(NewObjective(config(updater.TokenMeanVerl), []int{1}), 0, one, one, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

// What the caller does with its slices afterwards must not reach the objective.
func TestObjectiveKeepsNoSlices(t *testing.T) {
	lengths := []int{1, 1}
	o := NewObjective(config(updater.TokenMean), lengths)
	lengths[0], lengths[1] = 7, 7
	logp := []float64{-1}
	add(o, 0, logp, []float64{-1}, 1)
	logp[0] = math.NaN()
	add(o, 1, []float64{-1}, []float64{-1}, 1)
	if m := o.Metrics(); m.PGLoss != -1 || o.Err() != nil {
		t.Errorf("%+v, %v", m, o.Err())
	}
}

func FuzzToken(f *testing.F) {
	f.Add(-1.0, -1.0, 1.0)
	f.Add(-1.0, -50.0, -1.0)
	f.Add(math.NaN(), -1.0, 0.0)
	f.Add(-1.0, math.Inf(-1), 0.0)
	f.Fuzz(func(t *testing.T, logp, old, advantage float64) {
		o := NewObjective(config(updater.TokenMean), []int{1})
		grad := add(o, 0, []float64{logp}, []float64{old}, advantage)[0]
		m := o.Metrics()
		if !finite(logp) || !finite(old) || !finite(advantage) {
			if !math.IsNaN(grad) || !math.IsNaN(m.PGLoss) || o.Err() == nil {
				t.Errorf("%g, %g, %g became gradient %g, loss %g, error %v", logp, old, advantage, grad, m.PGLoss, o.Err())
			}
			return
		}
		if math.Abs(advantage) > 1e290 {
			return
		}
		if o.Err() != nil || !finite(grad) {
			t.Fatalf("finite input, but %v, gradient %g", o.Err(), grad)
		}
		// The bounds that the clips are there for.
		a := math.Abs(advantage)
		switch {
		case advantage > 0 && m.PGLoss < -a*1.28*(1+1e-15), advantage < 0 && (m.PGLoss > a*10 || m.PGLoss < a*0.8*(1-1e-15)), advantage > 0 && m.PGLoss > 0:
			t.Errorf("loss %g for advantage %g", m.PGLoss, advantage)
		case grad*advantage > 0:
			t.Errorf("gradient %g raises a log-prob against its advantage %g", grad, advantage)
		case math.Abs(m.PPOKL) > maxLogRatio:
			t.Errorf("kl %g", m.PPOKL)
		}
	})
}
