package metrics

import (
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// resamples of a bootstrap. The ends of an interval then move by about a
// fiftieth of its width from seed to seed.
const resamples = 10_000

// Interval holds a figure with a confidence of 95 %: low, high.
type Interval [2]float64

// intervals are those of the means of columns over rows, a row a problem: the
// 2.5 and 97.5 percentiles of the means over as many rows drawn with putting
// back (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, §13.3). All
// columns share the draws. The seed fixes the result.
func intervals(rows [][]float64, seed uint64) []Interval {
	if len(rows) == 0 {
		return nil
	}
	columns := len(rows[0])
	means := make([][]float64, columns)
	for c := range means {
		means[c] = make([]float64, resamples)
	}
	rng := rand.New(rand.NewPCG(seed, uint64(len(rows))))
	sum := make([]float64, columns)
	for b := range resamples {
		clear(sum)
		for range rows {
			for c, x := range rows[rng.IntN(len(rows))] {
				sum[c] += x
			}
		}
		for c, s := range sum {
			means[c][b] = s / float64(len(rows))
		}
	}
	out := make([]Interval, columns)
	for c, m := range means {
		slices.Sort(m)
		out[c] = Interval{stat.Quantile(0.025, stat.Empirical, m, nil), stat.Quantile(0.975, stat.Empirical, m, nil)}
	}
	return out
}

func column(x []float64) [][]float64 {
	rows := make([][]float64, len(x))
	for i := range x {
		rows[i] = x[i : i+1]
	}
	return rows
}
