package compare

import (
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Stat is a mean over seeds.
type Stat struct {
	N    int     `json:"n"`
	Mean float64 `json:"mean"`
	SD   float64 `json:"sd"`      // over n - 1; 0 of one
	Half float64 `json:"half_95"` // half of the mean's 95 % interval (Student); 0 of one, which has none
}

// statOf is the mean of values, of which there is at least one.
func statOf(values []float64) Stat {
	s := Stat{N: len(values)}
	if s.Mean = values[0]; slices.Max(values)-slices.Min(values) <= 1e-9*math.Abs(s.Mean) { // no spread, but rounding's
		return s
	}
	s.Mean = 0
	n := float64(s.N)
	for _, v := range values {
		s.Mean += v / n
	}
	for _, v := range values {
		s.SD += (v - s.Mean) * (v - s.Mean) / (n - 1)
	}
	s.SD = math.Sqrt(s.SD)
	s.Half = student(n-1) * s.SD / math.Sqrt(n)
	return s
}

// student is the 97.5 % quantile of Student's distribution.
func student(freedom float64) float64 {
	return distuv.StudentsT{Sigma: 1, Nu: freedom}.Quantile(0.975)
}

// less is by how much a's mean is above b's: over the seeds that both have where
// there are two or more, because those share data and the seeds of sampling, else
// by Welch's interval. Of a recipe with one seed there is none (Half is NaN).
func less(a, b map[int64]float64) Stat {
	var pairs, as, bs []float64
	for _, seed := range slices.Sorted(maps.Keys(a)) { // in one order, for the last bits
		as = append(as, a[seed])
		if y, ok := b[seed]; ok {
			pairs = append(pairs, a[seed]-y)
		}
	}
	for _, seed := range slices.Sorted(maps.Keys(b)) {
		bs = append(bs, b[seed])
	}
	if len(pairs) >= 2 {
		return statOf(pairs)
	}
	x, y := statOf(as), statOf(bs)
	d := Stat{N: min(x.N, y.N), Mean: x.Mean - y.Mean, Half: math.NaN()}
	if d.N < 2 {
		return d
	}
	vx, vy := x.SD*x.SD/float64(x.N), y.SD*y.SD/float64(y.N)
	d.SD = math.Sqrt(vx + vy)
	freedom := (vx + vy) * (vx + vy) / (vx*vx/float64(x.N-1) + vy*vy/float64(y.N-1))
	if d.Half = 0; d.SD > 0 {
		d.Half = student(freedom) * d.SD
	}
	return d
}

// told: the interval leaves out 0. Differences that are the same with every seed have
// none: shares of few answers come in steps, and show no spread by chance.
func (s Stat) told() bool { return s.N > 1 && s.Half > 0 && math.Abs(s.Mean) > s.Half }
