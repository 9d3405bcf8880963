package grpo

import (
	"math"

	"github.com/justrl/justrl/updater"
)

// maxK3 bounds a token's k3, as verl does.
const maxK3 = 10

// referenceKL estimates KL(now ‖ reference) from one token drawn from now, and
// returns the estimate's derivative by logp.
func referenceKL(estimator string, logp, reference float64) (kl, dlogp float64) {
	d := logRatio(logp, reference)
	switch estimator {
	case updater.KLEstimatorK1:
		return d, 1
	case updater.KLEstimatorK2:
		return d * d / 2, d
	}
	if math.IsNaN(d) {
		return d, d
	}
	// In terms of the other ratio, reference / now, as Schulman has it.
	r, dr := clamp(-d, -maxLogRatio, maxLogRatio)
	kl, dkl := clamp(k3(r), -maxK3, maxK3)
	return kl, -dkl * dr * math.Expm1(r)
}

// movedKL estimates KL(old ‖ now) from one token drawn from old: k1 and k3 of
// the bounded log-ratio.
func movedKL(logp, old float64) (first, third float64) {
	d, _ := clamp(logRatio(logp, old), -maxLogRatio, maxLogRatio)
	return -d, k3(d)
}

// k3 is (r − 1) − log r of a ratio r = q / p given its logarithm: the estimate
// of KL(p ‖ q) from one token drawn from p that is never negative. By expm1,
// because near r = 1 the difference is smaller than what exp rounds.
func k3(logRatio float64) float64 { return math.Expm1(logRatio) - logRatio }

// importance is the weight of a token that the server drew with log-prob
// server and the trainer would have drawn with log-prob own: their ratio, at
// most limit.
func importance(own, server, limit float64) (weight float64, capped bool) {
	d, _ := clamp(logRatio(own, server), -maxLogRatio, maxLogRatio)
	w := math.Exp(d)
	if w > limit {
		return limit, true
	}
	return w, false
}
