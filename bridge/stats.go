package bridge

import (
	"fmt"
	"math"
	"slices"
)

// logprobs are those of all probes, end to end.
type logprobs []float32

// Unknown stands for a log-prob that a server does not tell: the greatest float32, which
// none can be. It takes part in no comparison. The trainer knows all.
const Unknown float32 = math.MaxFloat32

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

// minus is the difference token by token, unknown where either side is.
func (a logprobs) minus(b logprobs) diffs {
	d := make(diffs, len(a))
	for i := range a {
		d[i] = float64(a[i]) - float64(b[i])
		if a[i] == Unknown || b[i] == Unknown {
			d[i] = math.Inf(1)
		}
	}
	return d
}

// known counts the log-probs that there are.
func (a logprobs) known() int {
	n := 0
	for _, x := range a {
		if x != Unknown {
			n++
		}
	}
	return n
}

// equalTokens counts the log-probs that are the same bits.
func (a logprobs) equalTokens(b logprobs) int {
	n := 0
	for i := range a {
		if a[i] != Unknown && math.Float32bits(a[i]) == math.Float32bits(b[i]) {
			n++
		}
	}
	return n
}

// diffs are differences by token, +Inf where one is unknown, which finite log-probs
// never differ by: no sum has these in it.
type diffs []float64

func unknown(x float64) bool { return math.IsInf(x, 1) }

// known are the differences that there are.
func (d diffs) known() diffs {
	if !slices.ContainsFunc(d, unknown) {
		return d
	}
	return slices.DeleteFunc(slices.Clone(d), unknown)
}

func (d diffs) max() float64 {
	m := 0.0
	for _, x := range d.known() {
		m = max(m, math.Abs(x))
	}
	return m
}

func (d diffs) rms() float64 {
	known := d.known()
	if len(known) == 0 {
		return 0
	}
	return math.Sqrt(known.dot(known) / float64(len(known)))
}

func (d diffs) median() float64 {
	d = d.known()
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
		if !unknown(d[i]) && !unknown(e[i]) {
			s += d[i] * e[i]
		}
	}
	return s
}

// along is the least-squares slope of d on e, over what is known of both: Σ d·e / Σ e².
func (d diffs) along(e diffs) float64 {
	both := slices.Clone(e)
	for i := range both {
		if unknown(d[i]) {
			both[i] = d[i]
		}
	}
	return d.dot(both) / both.dot(both)
}
