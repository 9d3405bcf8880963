package compare

import (
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
	if s.Mean = values[0]; slices.Max(values) == slices.Min(values) { // no spread, nor rounding's
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
	for seed, x := range a {
		as = append(as, x)
		if y, ok := b[seed]; ok {
			pairs = append(pairs, x-y)
		}
	}
	for _, y := range b {
		bs = append(bs, y)
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

// told: the interval leaves out 0.
func (s Stat) told() bool { return s.N > 1 && math.Abs(s.Mean) > s.Half }
