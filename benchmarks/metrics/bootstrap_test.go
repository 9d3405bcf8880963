package metrics

import (
	"fmt"
	"math"
	"testing"
)

func byID(rates []float64) map[int]float64 {
	m := map[int]float64{}
	for i, r := range rates {
		m[i] = r
	}
	return m
}

// scipy's percentile bootstrap and permutation test, with other random numbers:
// the tolerance is what 10,000 draws leave open.
func TestCompareAsScipy(t *testing.T) {
	for _, c := range readOracle(t).Rates {
		got, err := Compare(byID(c.A), byID(c.B), 1)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprint(len(c.A), " problems: ")
		near(t, name+"difference", got.Difference, c.Difference, 1e-12)
		near(t, name+"p", got.P, c.P, 0.005)
		width := c.Interval[1] - c.Interval[0]
		near(t, name+"low", got.In95[0], c.Interval[0], 0.04*width)
		near(t, name+"high", got.In95[1], c.Interval[1], 0.04*width)
		single := intervals(column(c.A), 1)[0]
		width = c.AInterval[1] - c.AInterval[0]
		near(t, name+"low of one", single[0], c.AInterval[0], 0.04*width)
		near(t, name+"high of one", single[1], c.AInterval[1], 0.04*width)
	}
}

// With few problems every draw can be listed: 3 problems have 27.
func TestIntervalsAgainstEveryDraw(t *testing.T) {
	x := []float64{0, 0.25, 1}
	below := func(limit float64) float64 {
		n := 0.0
		for i := range 27 {
			if (x[i%3]+x[i/3%3]+x[i/9])/3 <= limit+1e-12 {
				n++
			}
		}
		return n / 27
	}
	got := intervals(column(x), 9)[0]
	// 1/27 of all draws is 0 everywhere and 1/27 is 1 everywhere: more than 2.5 % each.
	if got != (Interval{0, 1}) || below(0) < 0.025 || 1-below(0.999) < 0.025 {
		t.Errorf("%v", got)
	}
}

func TestIntervalsAreSeeded(t *testing.T) {
	rng := newRand(5)
	rows := make([][]float64, 40)
	for i := range rows {
		x := rng.Float64()
		rows[i] = []float64{x, 1 - x}
	}
	a, b, c := intervals(rows, 1), intervals(rows, 1), intervals(rows, 2)
	if a[0] != b[0] || a[1] != b[1] {
		t.Errorf("%v and %v of one seed", a, b)
	}
	if a[0] == c[0] && a[1] == c[1] {
		t.Errorf("%v whatever the seed", a)
	}
	// The columns share the draws: what one gains the other loses.
	near(t, "low and high", a[0][0]+a[1][1], 1, 0.01)
	if intervals(nil, 1) != nil {
		t.Error("intervals of nothing")
	}
}

// The share of intervals that hold the truth, over many samples of problems.
func TestCoverage(t *testing.T) {
	const problems, tries, truth = 40, 60, 0.4
	held := 0
	for seed := range uint64(tries) {
		rows := make([][]float64, problems)
		rng := newRand(seed)
		for i := range rows {
			// Clustered: a problem is hard or easy, and its answers follow.
			easy := rng.Float64() < truth
			rate := 0.0
			for range 8 {
				if (rng.Float64() < 0.9) == easy {
					rate += 1. / 8
				}
			}
			rows[i] = []float64{rate}
		}
		if in := intervals(rows, seed)[0]; in[0] <= truth*0.9+0.6*0.1 && truth*0.9+0.6*0.1 <= in[1] {
			held++
		}
	}
	// 95 % of 60 with a standard deviation of 1.7; a percentile bootstrap is a little narrow.
	if held < 51 || held == tries {
		t.Errorf("%d of %d intervals hold the truth", held, tries)
	}
}

func TestSignFlips(t *testing.T) {
	for _, tc := range []struct {
		name string
		d    []float64
		want float64
	}{
		{"no difference", []float64{0, 0}, 1},
		{"one", []float64{0.5}, 1},
		{"five the same way", []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0}, 2. / 32},
		{"they cancel", []float64{0.1, -0.1}, 1},
		{"equal sums count as equal", []float64{0.1, 0.2, -0.3, 0.3}, 0.75},
	} {
		near(t, tc.name, signFlips(tc.d, 1), tc.want, 1e-12)
	}
	// Above the limit random patterns stand in for all: no difference, and a plain one.
	even, plain := make([]float64, 60), make([]float64, 60)
	for i := range even {
		even[i], plain[i] = math.Copysign(0.125, float64(i%2)-0.5), 0.125
	}
	near(t, "even", signFlips(even, 1), 1, 1e-12)
	near(t, "plain", signFlips(plain, 1), 1./(1+flips), 1e-12)
}

func TestCompareNeedsSharedProblems(t *testing.T) {
	if _, err := Compare(map[int]float64{1: 1}, map[int]float64{2: 1}, 1); err == nil {
		t.Error("nothing was compared")
	}
	c, err := Compare(map[int]float64{1: 1, 2: 0.5, 3: 0}, map[int]float64{2: 0.25, 3: 0.5, 4: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if c.Problems != 2 || c.Better != 1 || c.Worse != 1 || c.A != 0.25 || c.B != 0.375 || c.Difference != -0.125 {
		t.Errorf("%+v", c)
	}
}
