package grpo

import (
	"math"

	"github.com/justrl/justrl/updater"
)

// tokenLoss is one token's l, dl/dlogp and whether a bound holds it.
type tokenLoss struct {
	loss, grad     float64
	clipped, lower bool
}

// maxLogRatio bounds log-ratios, as verl does, so that no ratio overflows.
const maxLogRatio = 20

// logRatios are the log-ratios that r's tokens take their losses of: their
// own, or the mean of them all. NaN where an input is not finite.
func (o *Objective) logRatios(r Response) []float64 {
	d := make([]float64, len(r.Logp))
	sum := 0.0
	for t := range d {
		d[t] = logRatio(r.Logp[t], r.Old[t])
		sum += d[t]
	}
	if o.cfg.Ratio == updater.RatioSequence {
		for t := range d {
			d[t] = sum / float64(len(d))
		}
	}
	return d
}

// logRatio is a − b, NaN unless both are finite: ∞ is no log-prob that a bound
// could make a number of.
func logRatio(a, b float64) float64 {
	if !finite(a) || !finite(b) {
		return math.NaN()
	}
	return a - b
}

// token computes the policy loss of the package's documentation from the
// log-ratio that it is taken of, and the derivative by that.
func (o *Objective) token(logRatio, advantage float64) tokenLoss {
	if math.IsNaN(logRatio) || !finite(advantage) {
		nan := math.NaN()
		return tokenLoss{loss: nan, grad: nan}
	}
	d, dd := clamp(logRatio, -maxLogRatio, maxLogRatio)
	ratio := math.Exp(d)
	dratio := ratio * dd
	held, dheld := clamp(ratio, 1-o.cfg.ClipLow, 1+o.cfg.ClipHigh)
	l1, g1 := -advantage*ratio, -advantage*dratio
	l2, g2 := -advantage*held, -advantage*dratio*dheld
	k := tokenLoss{loss: l1, grad: g1, clipped: l2 > l1}
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

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
