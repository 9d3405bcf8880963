package grpo

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/justrl/justrl/updater"
)

// Objective is the loss of one mini-batch, filled response by response. Not
// safe for concurrent use.
type Objective struct {
	cfg     updater.Config
	lengths []int     // T_i
	tokens  int       // Σ T_i
	weights []float64 // w_i; NaN where a micro-batch has yet to give it
	parts   []part    // what Add found; summed in index order, so that the order of Add does not matter
	packs   int
}

// Response is what the objective takes of one response, or of a stretch of its
// tokens: one number a token in each slice, log-probs and entropies in nats.
// What an option that is off would need is not looked at.
type Response struct {
	Logp      []float64 // now
	Old       []float64 // by the weights that sampled it
	Advantage float64   // the same for all its tokens
	Server    []float64 // log-probs that the server gave, for tis_cap
	Reference []float64 // log-probs of the reference model, for kl_coef
	Entropy   []float64 // of the distributions that the tokens are drawn from, for entropy_coef
}

// part is one response's share of the metrics: sums over its tokens.
type part struct {
	tokens         int     // how many were added
	loss           float64 // l, weighed by the importance weights
	kl, k3         float64 // estimates of KL(old ‖ now)
	reference      float64 // estimate of KL(now ‖ reference)
	entropy        float64
	importance     float64 // importance weights
	clipped, lower int     // tokens
	capped         int     // tokens
	bad            error   // names the first token with an input that is not finite
}

// NewObjective begins a mini-batch of responses with the given lengths in
// tokens. cfg must be valid; an unknown aggregation panics.
func NewObjective(cfg updater.Config, responseLengths []int) *Objective {
	n := len(responseLengths)
	o := &Objective{cfg: cfg, lengths: slices.Clone(responseLengths), weights: make([]float64, n), parts: make([]part, n)}
	longest := 0
	for _, t := range o.lengths {
		o.tokens += t
		longest = max(longest, t)
	}
	if cfg.NormTokens > 0 {
		longest = cfg.NormTokens
	}
	weight := func(int) float64 { return math.NaN() } // until MicroBatch
	switch cfg.Aggregation {
	case updater.TokenMean:
		weight = func(int) float64 { return 1 / float64(o.tokens) }
	case updater.TokenMeanVerl:
	case updater.SeqMeanTokenSum:
		weight = func(int) float64 { return 1 / float64(n) }
	case updater.SeqMeanTokenMean:
		weight = func(t int) float64 { return 1 / (float64(n) * float64(t)) }
	case updater.SeqMeanTokenSumNorm:
		weight = func(int) float64 { return 1 / float64(longest) }
	default:
		panic(fmt.Sprintf("grpo: unknown aggregation %q", cfg.Aggregation))
	}
	for i, t := range o.lengths {
		o.weights[i] = weight(t)
	}
	return o
}

// MicroBatch announces a pack: the responses, by index, whose Add calls come
// next. token-mean-verl takes its weights from it; the other aggregations
// only count it.
func (o *Objective) MicroBatch(responses []int) {
	o.packs++
	if o.cfg.Aggregation != updater.TokenMeanVerl {
		return
	}
	tokens := 0
	for _, i := range responses {
		tokens += o.lengths[i]
	}
	share := float64(len(responses)) / float64(len(o.lengths))
	for _, i := range responses {
		o.weights[i] = share / float64(tokens)
	}
}

// Add takes the next tokens of response i and returns dLoss/dlogp of each (the
// caller's to keep) and dLoss/dentropy, which is the same for all of them. All
// of the mini-batch's denominators are in both: the gradients of all packs add
// up to that of the mini-batch. Where a response is cut changes nothing; one
// with a ratio of the whole sequence is added in one piece ([Objective.Whole]).
//
// An input that is not finite makes the gradient and the loss NaN and is named
// by [Objective.Err]. Misuse panics: an index or a length other than
// announced, a response added twice, token-mean-verl without MicroBatch.
func (o *Objective) Add(i int, r Response) (dlogp []float64, dentropy float64) {
	o.check(i, r)
	p := o.parts[i]
	bad := o.bad(i, r)
	if p.bad == nil {
		p.bad = bad
	}
	p.tokens += len(r.Logp)
	w := o.weights[i]
	ratios := o.logRatios(r)
	dlogp = make([]float64, len(r.Logp))
	for t := range r.Logp {
		k := o.token(ratios[t], r.Advantage)
		if o.cfg.TISCap > 0 {
			weight, capped := importance(r.Old[t], r.Server[t], o.cfg.TISCap)
			k.loss *= weight
			k.grad *= weight
			p.importance += weight
			p.capped += count(capped)
		}
		dlogp[t] = w * k.grad
		if o.cfg.KLCoef > 0 {
			kl, dkl := referenceKL(o.cfg.KLEstimator, r.Logp[t], r.Reference[t])
			p.reference += kl
			dlogp[t] += w * o.cfg.KLCoef * dkl
		}
		if o.cfg.EntropyCoef > 0 {
			p.entropy += r.Entropy[t]
		}
		k1, k3 := movedKL(r.Logp[t], r.Old[t])
		p.kl += k1
		p.k3 += k3
		p.loss += k.loss
		p.clipped += count(k.clipped)
		p.lower += count(k.lower)
	}
	if o.cfg.EntropyCoef > 0 {
		dentropy = -w * o.cfg.EntropyCoef
	}
	if bad != nil {
		p.loss, p.kl, p.k3 = math.NaN(), math.NaN(), math.NaN()
	}
	o.parts[i] = p
	return dlogp, dentropy
}

// Whole says that a response must be added in one piece.
func (o *Objective) Whole() bool { return o.cfg.Ratio == updater.RatioSequence }

// check panics if response i does not have the numbers that the options need.
func (o *Objective) check(i int, r Response) {
	want := len(r.Logp)
	for _, s := range []struct {
		what   string
		values []float64
		needed bool
	}{
		{"old log-probs", r.Old, true},
		{"log-probs of the server", r.Server, o.cfg.TISCap > 0},
		{"log-probs of the reference", r.Reference, o.cfg.KLCoef > 0},
		{"entropies", r.Entropy, o.cfg.EntropyCoef > 0},
	} {
		if s.needed && len(s.values) != want {
			panic(fmt.Sprintf("grpo: %d tokens of response %d were added with %d %s", want, i, len(s.values), s.what))
		}
	}
	switch had := o.parts[i].tokens; {
	case had+want > o.lengths[i]:
		panic(fmt.Sprintf("grpo: %d tokens were added to %d of response %d, which has %d", want, had, i, o.lengths[i]))
	case o.Whole() && want != o.lengths[i]:
		panic(fmt.Sprintf("grpo: %d tokens of response %d, which has %d and a ratio of them all", want, i, o.lengths[i]))
	case math.IsNaN(o.weights[i]):
		panic(fmt.Sprintf("grpo: response %d was added before its MicroBatch", i))
	}
}

// bad names the first token of response i with an input that is not finite.
func (o *Objective) bad(i int, r Response) error {
	first := o.parts[i].tokens
	for t := range r.Logp {
		if !finite(r.Logp[t]) || !finite(r.Old[t]) || !finite(r.Advantage) {
			return fmt.Errorf("grpo: response %d, token %d: log-prob %g, old log-prob %g, advantage %g: not finite", i, first+t, r.Logp[t], r.Old[t], r.Advantage)
		}
		switch {
		case o.cfg.TISCap > 0 && !finite(r.Server[t]):
			return fmt.Errorf("grpo: response %d, token %d: the server's log-prob is %g: not finite", i, first+t, r.Server[t])
		case o.cfg.KLCoef > 0 && !finite(r.Reference[t]):
			return fmt.Errorf("grpo: response %d, token %d: the reference model's log-prob is %g: not finite", i, first+t, r.Reference[t])
		case o.cfg.EntropyCoef > 0 && !finite(r.Entropy[t]):
			return fmt.Errorf("grpo: response %d, token %d: the entropy is %g: not finite", i, first+t, r.Entropy[t])
		}
	}
	return nil
}

// Metrics returns the figures of the responses added so far; the mean entropy,
// gradient norm and learning rate are not this package's and stay 0. Shares
// and means are over all response tokens of the mini-batch, whatever the
// aggregation. They do not depend on the order of Add.
func (o *Objective) Metrics() updater.UpdateMetrics {
	m := updater.UpdateMetrics{Tokens: o.tokens, Packs: o.packs}
	clipped, lower, capped := 0, 0, 0
	for i, p := range o.parts {
		if p.tokens == 0 { // an empty response has weight, but nothing to weigh
			continue
		}
		m.PGLoss += o.weights[i] * p.loss
		m.KLLoss += o.weights[i] * p.reference
		m.EntropyLoss += o.weights[i] * p.entropy
		m.PPOKL += p.kl
		m.PPOKL3 += p.k3
		m.TISMean += p.importance
		clipped += p.clipped
		lower += p.lower
		capped += p.capped
	}
	m.KLCoef = o.cfg.KLCoef
	if o.tokens > 0 {
		n := float64(o.tokens)
		m.PPOKL /= n
		m.PPOKL3 /= n
		m.PGClipFrac = float64(clipped) / n
		m.PGClipFracLower = float64(lower) / n
		m.TISMean /= n
		m.TISCapped = float64(capped) / n
	}
	return m
}

// FirstBad is the response, by index, whose input Err names; -1 for none.
func (o *Objective) FirstBad() int {
	return slices.IndexFunc(o.parts, func(p part) bool { return p.bad != nil })
}

// Err is nil if every response was added and everything was finite. Otherwise
// it names the first response, in index order, that was not, and its token.
func (o *Objective) Err() error {
	missing := 0
	for i, p := range o.parts {
		if p.bad != nil {
			return p.bad
		}
		if p.tokens < o.lengths[i] {
			missing++
		}
	}
	if missing > 0 {
		return fmt.Errorf("grpo: %d of %d responses were not added whole", missing, len(o.parts))
	}
	if m := o.Metrics(); !finite(m.PGLoss) || !finite(m.KLLoss) || !finite(m.EntropyLoss) {
		return errors.New("grpo: the loss overflows")
	}
	return nil
}
