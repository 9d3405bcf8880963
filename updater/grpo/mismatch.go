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
//	K3         = mean(exp(d) − 1 − d)  k3 estimate of the same
//	RatioP50 … = quantiles of exp|d|   between two neighbours by linear interpolation
//
//	Worst…     = where |d| is largest  the first such token
//
// A log-prob that is not finite counts as d = −700 and makes KL 700 ± 0,
// however many others agree: no gate lets it pass.
//
// worst is the index of the response that the worst token is of, −1 if nothing
// was compared; who knows the groups fills in WorstGroup and WorstRollout.
func CompareServer(server, trainer [][]float32) (m updater.Mismatch, worst int) {
	if len(server) != len(trainer) {
		panic(fmt.Sprintf("grpo: %d responses of the server and %d of the trainer", len(server), len(trainer)))
	}
	worst = -1
	var differences []float64
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
			differences = append(differences, d)
			if worst < 0 || math.Abs(d) > math.Abs(m.WorstLogRatio) {
				worst, m.WorstToken, m.WorstLogRatio = i, j, d
			}
		}
	}
	n := len(differences)
	if n == 0 {
		return m, worst
	}
	m.Tokens, m.KL = n, kl/float64(n)
	variance := max(0, squares-float64(n)*m.KL*m.KL) / float64(max(n-1, 1))
	if impossible {
		m.KL, variance = maxDifference, 0
	}
	m.KLStdErr = math.Sqrt(variance / float64(n))
	for i, d := range differences {
		m.K3 += k3(d) / float64(n) // divided first: a sum of a few exp(700) overflows
		differences[i] = math.Abs(d)
	}
	slices.Sort(differences)
	for i, d := range differences {
		differences[i] = math.Exp(d)
	}
	m.RatioP50, m.RatioP99, m.RatioMax = quantile(differences, 0.50), quantile(differences, 0.99), differences[n-1]
	return m, worst
}

// quantile interpolates linearly in sorted, which is not empty.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}
