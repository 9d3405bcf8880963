package grpo

import (
	"errors"
	"fmt"
	"math"

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

// part is one response's share of the metrics.
type part struct {
	added           bool
	loss, kl        float64 // Σ_t l and Σ_t (old − logp)
	clipped, lower  int     // tokens
	badToken        int     // first token with an input that is not finite, if bad
	bad             bool
	logp, old, advt float64 // that token's
}

// NewObjective begins a mini-batch of responses with the given lengths in
// tokens. cfg must be valid; an unknown aggregation panics.
func NewObjective(cfg updater.Config, responseLengths []int) *Objective {
	n := len(responseLengths)
	o := &Objective{cfg: cfg, lengths: append([]int(nil), responseLengths...), weights: make([]float64, n), parts: make([]part, n)}
	longest := 0
	for _, t := range o.lengths {
		o.tokens += t
		longest = max(longest, t)
	}
	if cfg.NormTokens > 0 {
		longest = cfg.NormTokens
	}
	for i, t := range o.lengths {
		switch cfg.Aggregation {
		case updater.TokenMean:
			o.weights[i] = 1 / float64(o.tokens)
		case updater.TokenMeanVerl:
			o.weights[i] = math.NaN()
		case updater.SeqMeanTokenSum:
			o.weights[i] = 1 / float64(n)
		case updater.SeqMeanTokenMean:
			o.weights[i] = 1 / (float64(n) * float64(t))
		case updater.SeqMeanTokenSumNorm:
			o.weights[i] = 1 / float64(longest)
		default:
			panic(fmt.Sprintf("grpo: unknown aggregation %q", cfg.Aggregation))
		}
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

// Add takes response i: the log-probs of its tokens now and by the weights
// that sampled it, and its advantage. It returns dLoss/dlogp of each token
// (length T_i, the caller's to keep), all of the mini-batch's denominators in
// it: the gradients of all packs add up to that of the mini-batch.
//
// A logp, old or advantage that is not finite makes the gradient and the loss
// NaN and is named by [Objective.Err]. Misuse panics: an index or a length
// other than announced, a response added twice, token-mean-verl without MicroBatch.
func (o *Objective) Add(i int, logp, old []float64, advantage float64) []float64 {
	switch {
	case len(logp) != o.lengths[i] || len(old) != o.lengths[i]:
		panic(fmt.Sprintf("grpo: response %d of %d tokens was added with %d and %d log-probs", i, o.lengths[i], len(logp), len(old)))
	case o.parts[i].added:
		panic(fmt.Sprintf("grpo: response %d was added twice", i))
	case math.IsNaN(o.weights[i]):
		panic(fmt.Sprintf("grpo: response %d was added before its MicroBatch", i))
	}
	p := part{added: true}
	dlogp := make([]float64, len(logp))
	for t := range logp {
		k := o.token(logp[t], old[t], advantage)
		if !p.bad && (!finite(logp[t]) || !finite(old[t]) || !finite(advantage)) {
			p.bad, p.badToken, p.logp, p.old, p.advt = true, t, logp[t], old[t], advantage
		}
		p.loss += k.loss
		p.kl += k.kl
		if k.clipped {
			p.clipped++
		}
		if k.lower {
			p.lower++
		}
		dlogp[t] = o.weights[i] * k.grad
	}
	o.parts[i] = p
	return dlogp
}

// tokenLoss is one token's l, dl/dlogp and metrics.
type tokenLoss struct {
	loss, grad, kl float64
	clipped, lower bool
}

// maxLogRatio bounds logp − old, as verl does, so that no ratio overflows.
const maxLogRatio = 20

// token computes the formulas of the package's documentation.
func (o *Objective) token(logp, old, advantage float64) tokenLoss {
	if !finite(logp) || !finite(old) || !finite(advantage) {
		nan := math.NaN()
		return tokenLoss{loss: nan, grad: nan, kl: nan}
	}
	d, dd := clamp(logp-old, -maxLogRatio, maxLogRatio)
	ratio := math.Exp(d)
	dratio := ratio * dd
	held, dheld := clamp(ratio, 1-o.cfg.ClipLow, 1+o.cfg.ClipHigh)
	l1, g1 := -advantage*ratio, -advantage*dratio
	l2, g2 := -advantage*held, -advantage*dratio*dheld
	k := tokenLoss{loss: l1, grad: g1, kl: -d, clipped: l2 > l1}
	switch {
	case l2 > l1:
		k.loss, k.grad = l2, g2
	case l2 == l1:
		k.grad = g1/2 + g2/2
	}
	if advantage < 0 {
		switch l3 := -advantage * o.cfg.ClipC; {
		case k.loss > l3:
			k.loss, k.grad, k.lower = l3, 0, true
		case k.loss == l3:
			k.grad /= 2
		}
	}
	return k
}

// clamp returns x held to [lo, hi] and the derivative of that.
func clamp(x, lo, hi float64) (y, dy float64) {
	switch {
	case x < lo:
		return lo, 0
	case x > hi:
		return hi, 0
	}
	return x, 1
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// Metrics returns the figures of the responses added so far; entropy,
// gradient norm and learning rate are not this package's and stay 0. Shares
// and means are over all response tokens of the mini-batch, whatever the
// aggregation. They do not depend on the order of Add.
func (o *Objective) Metrics() updater.UpdateMetrics {
	m := updater.UpdateMetrics{Tokens: o.tokens, Packs: o.packs}
	clipped, lower := 0, 0
	for i, p := range o.parts {
		if !p.added || o.lengths[i] == 0 { // an empty response has weight, but nothing to weigh
			continue
		}
		m.PGLoss += o.weights[i] * p.loss
		m.PPOKL += p.kl
		clipped += p.clipped
		lower += p.lower
	}
	if o.tokens > 0 {
		m.PPOKL /= float64(o.tokens)
		m.PGClipFrac = float64(clipped) / float64(o.tokens)
		m.PGClipFracLower = float64(lower) / float64(o.tokens)
	}
	return m
}

// Err is nil if every response was added and everything was finite. Otherwise
// it names the first response, in index order, that was not, and its token.
func (o *Objective) Err() error {
	missing := 0
	for i, p := range o.parts {
		if p.bad {
			return fmt.Errorf("grpo: response %d, token %d: log-prob %g, old log-prob %g, advantage %g: not finite", i, p.badToken, p.logp, p.old, p.advt)
		}
		if !p.added {
			missing++
		}
	}
	if missing > 0 {
		return fmt.Errorf("grpo: %d of %d responses were not added", missing, len(o.parts))
	}
	if l := o.Metrics().PGLoss; !finite(l) {
		return errors.New("grpo: the loss overflows")
	}
	return nil
}
