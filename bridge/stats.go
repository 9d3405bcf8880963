package bridge

import (
	"fmt"
	"math"
	"slices"
)

// logprobs are those of all probes, end to end.
type logprobs []float32

// flatten checks a scorer's answer and joins it.
func flatten(probes [][]int32, scores [][]float32) (logprobs, error) {
	if len(scores) != len(probes) {
		return nil, fmt.Errorf("scored %d sequences of %d", len(scores), len(probes))
	}
	var out logprobs
	for i, s := range scores {
		if len(s) != len(probes[i])-1 {
			return nil, fmt.Errorf("probe %d: %d log-probs for %d tokens", i, len(s), len(probes[i]))
		}
		for t, x := range s {
			if !finite(x) {
				return nil, fmt.Errorf("probe %d: the log-prob of token %d is %v", i, t+1, x)
			}
		}
		out = append(out, s...)
	}
	return out, nil
}

func finite(x float32) bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }

// minus is the difference token by token.
func (a logprobs) minus(b logprobs) diffs {
	d := make(diffs, len(a))
	for i := range a {
		d[i] = float64(a[i]) - float64(b[i])
	}
	return d
}

// equalTokens counts the log-probs that are the same bits.
func (a logprobs) equalTokens(b logprobs) int {
	n := 0
	for i := range a {
		if math.Float32bits(a[i]) == math.Float32bits(b[i]) {
			n++
		}
	}
	return n
}

type diffs []float64

func (d diffs) max() float64 {
	m := 0.0
	for _, x := range d {
		m = max(m, math.Abs(x))
	}
	return m
}

func (d diffs) rms() float64 {
	if len(d) == 0 {
		return 0
	}
	return math.Sqrt(d.dot(d) / float64(len(d)))
}

func (d diffs) median() float64 {
	if len(d) == 0 {
		return 0
	}
	abs := make([]float64, len(d))
	for i, x := range d {
		abs[i] = math.Abs(x)
	}
	slices.Sort(abs)
	return (abs[(len(abs)-1)/2] + abs[len(abs)/2]) / 2
}

func (d diffs) dot(e diffs) float64 {
	s := 0.0
	for i := range d {
		s += d[i] * e[i]
	}
	return s
}

// along is the least-squares slope of d on e: Σ d·e / Σ e².
func (d diffs) along(e diffs) float64 { return d.dot(e) / e.dot(e) }
