package grpo

import (
	"fmt"
	"math"
	"slices"

	"github.com/justrl/justrl/updater"
)

// maxDifference, in nats, stands for a difference that is larger or not a
// number. Its exponential is still a float64, and so a JSON number, and a
// single one of it moves a mean past every gate.
const maxDifference = 700

// CompareServer compares the server's log-probs of sampled tokens with the
// trainer's own of the same tokens, a slice a response. A response for which
// either is nil is left out; two of different lengths panic. With
// d = logp_trainer − logp_server, held to ±700:
//
//	KL         = mean(−d)              k1 estimate of KL(server ‖ trainer)
//	KLStdErr   = std(d) / √n           unbiased std; 0 for a single token
//	RatioP50 … = quantiles of exp|d|   between two neighbours by linear interpolation
//
// A log-prob that is not finite counts as |d| = 700 and makes KL 700 ± 0,
// however many others agree: no gate lets it pass.
func CompareServer(server, trainer [][]float32) updater.Mismatch {
	if len(server) != len(trainer) {
		panic(fmt.Sprintf("grpo: %d responses of the server and %d of the trainer", len(server), len(trainer)))
	}
	var distances []float64
	kl, squares, impossible := 0.0, 0.0, false
	for i, s := range server {
		t := trainer[i]
		if s == nil || t == nil {
			continue
		}
		if len(s) != len(t) {
			panic(fmt.Sprintf("grpo: response %d has %d log-probs of the server and %d of the trainer", i, len(s), len(t)))
		}
		for j := range s {
			d := float64(t[j]) - float64(s[j])
			if !finite(d) {
				d, impossible = -maxDifference, true
			}
			d, _ = clamp(d, -maxDifference, maxDifference)
			kl -= d
			squares += d * d
			distances = append(distances, math.Abs(d))
		}
	}
	n := len(distances)
	if n == 0 {
		return updater.Mismatch{}
	}
	mean := kl / float64(n)
	variance := max(0, squares-float64(n)*mean*mean) / float64(max(n-1, 1))
	if impossible {
		mean, variance = maxDifference, 0
	}
	slices.Sort(distances)
	for i, d := range distances {
		distances[i] = math.Exp(d)
	}
	return updater.Mismatch{
		Tokens: n, KL: mean, KLStdErr: math.Sqrt(variance / float64(n)),
		RatioP50: quantile(distances, 0.50), RatioP99: quantile(distances, 0.99), RatioMax: distances[n-1],
	}
}

// quantile interpolates linearly in sorted, which is not empty.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}
