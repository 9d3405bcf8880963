package grpo

import "math"

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
