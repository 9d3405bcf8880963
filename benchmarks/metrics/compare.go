package metrics

import (
	"errors"
	"maps"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// Comparison is of two models on the same problems.
type Comparison struct {
	Problems   int      `json:"problems"` // that both have answers to
	A          float64  `json:"a"`        // mean solve rate on these
	B          float64  `json:"b"`
	Difference float64  `json:"difference"` // A − B
	In95       Interval `json:"in_95"`      // of the difference, problems drawn anew
	// P is the probability of a difference at least as large, either way, if
	// which model gave which of a problem's two rates were chance.
	P      float64 `json:"p"`
	Better int     `json:"better"` // problems on which A's rate is higher
	Worse  int     `json:"worse"`
}

// Up to exactFlips problems that differ all sign patterns are tried; beyond,
// flips random ones.
const (
	exactFlips = 18
	flips      = 100_000
)

// Compare pairs the solve rates of two models by problem. The problems' rates
// are compared, not answers: each problem counts once, whatever the number of
// its answers.
func Compare(a, b map[int]float64, seed uint64) (Comparison, error) {
	var c Comparison
	var d []float64
	for _, id := range slices.Sorted(maps.Keys(a)) {
		y, ok := b[id]
		if !ok {
			continue
		}
		x := a[id]
		c.A, c.B = c.A+x, c.B+y
		d = append(d, x-y)
		switch {
		case x > y:
			c.Better++
		case x < y:
			c.Worse++
		}
	}
	if len(d) == 0 {
		return c, errors.New("no problem is in both")
	}
	n := float64(len(d))
	c.Problems, c.A, c.B = len(d), c.A/n, c.B/n
	sum := 0.0
	for _, x := range d {
		sum += x
	}
	c.Difference = sum / n
	c.In95 = intervals(column(d), seed)[0]
	c.P = signFlips(d, seed)
	return c, nil
}

// signFlips is the two-sided permutation test of paired differences: if the
// two models were alike, each difference would be as likely with the other sign
// (Fisher, The Design of Experiments, 1935, §21; one added to both counts for
// random patterns, Phipson & Smyth, arXiv 1603.05766).
func signFlips(d []float64, seed uint64) float64 {
	d = slices.DeleteFunc(slices.Clone(d), func(x float64) bool { return x == 0 })
	sum, size := 0.0, 0.0
	for _, x := range d {
		sum, size = sum+x, size+math.Abs(x)
	}
	least := math.Abs(sum) - 1e-12*size // sums of the same rates in another order
	if len(d) <= exactFlips {
		hits := 0
		s := size // all signs positive; pattern by pattern one sign changes
		signs := make([]float64, len(d))
		for i, x := range d {
			signs[i] = math.Abs(x)
		}
		for i := range 1 << len(d) {
			if i > 0 {
				j := bits.TrailingZeros(uint(i))
				s -= 2 * signs[j]
				signs[j] = -signs[j]
			}
			if math.Abs(s) >= least {
				hits++
			}
		}
		return float64(hits) / float64(int(1)<<len(d))
	}
	rng := rand.New(rand.NewPCG(seed, uint64(len(d))))
	hits := 0
	for range flips {
		s, random := 0.0, uint64(0)
		for i, x := range d {
			if i%64 == 0 {
				random = rng.Uint64()
			}
			s += math.Copysign(x, float64(int64(random<<(i%64)))) // the sign is the i-th bit
		}
		if math.Abs(s) >= least {
			hits++
		}
	}
	return float64(1+hits) / float64(1+flips)
}
