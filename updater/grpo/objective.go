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

// part is one response's share of the metrics.
type part struct {
	added          bool
	loss, kl       float64 // Σ_t l and Σ_t (old − logp)
	clipped, lower int     // tokens
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
		if p.bad == nil && (!finite(logp[t]) || !finite(old[t]) || !finite(advantage)) {
			p.bad = fmt.Errorf("grpo: response %d, token %d: log-prob %g, old log-prob %g, advantage %g: not finite", i, t, logp[t], old[t], advantage)
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
	for _, p := range o.parts {
		if p.bad != nil {
			return p.bad
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
