package monitor

import (
	"math"
	"slices"
)

// column is one figure over the steps that have it, with its mean over a
// sliding window.
type column struct {
	window int
	of     float64 // for a share: what a value is a share of; 0 for other figures
	steps  []int
	values []float64
	means  []float64 // over the last `window` values; NaN before there are as many
	low    place     // of the means before the last one
	high   place
}

// place is an extreme of the means, and where it is.
type place struct {
	mean float64
	step int
}

func newColumn(window int) *column {
	return &column{window: window, low: place{math.Inf(1), -1}, high: place{math.Inf(-1), -1}}
}

// add appends a value; of is what it is a share of, 0 for other figures.
func (c *column) add(step int, value, of float64) {
	if n := len(c.means); n > 0 && !math.IsNaN(c.means[n-1]) {
		last := place{c.means[n-1], c.steps[n-1]}
		if last.mean < c.low.mean {
			c.low = last
		}
		if last.mean > c.high.mean {
			c.high = last
		}
	}
	c.steps, c.values, c.of = append(c.steps, step), append(c.values, value), of
	now := math.NaN()
	if n := len(c.values); n >= c.window {
		now = mean(c.values[n-c.window:])
	}
	c.means = append(c.means, now)
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// last is the newest mean, and whether it is one of this step that can be
// compared with an earlier one.
func (c *column) last(step int) (mean float64, ok bool) {
	n := len(c.means)
	if n == 0 || c.steps[n-1] != step || c.low.step < 0 {
		return 0, false
	}
	return c.means[n-1], true
}

// noiseSteps is how many steps the noise is measured over.
const noiseSteps = 50

// noise is the standard deviation of a mean that chance alone gives it: from
// the differences of successive values, whose median a trend or a jump hardly
// moves, and for a share at least what as many draws have.
func (c *column) noise() float64 {
	n := len(c.values)
	from := max(1, n-noiseSteps)
	differences := make([]float64, 0, noiseSteps)
	for i := from; i < n; i++ {
		differences = append(differences, math.Abs(c.values[i]-c.values[i-1]))
	}
	sd := 0.0
	if len(differences) > 0 {
		slices.Sort(differences)
		// Of a normal x the median of |x − x'| is 0.6745 · √2 of its deviation.
		sd = differences[len(differences)/2] / (0.6745 * math.Sqrt2)
	}
	if c.of > 0 {
		p := min(max(c.means[n-1], 1/c.of), 1-1/c.of)
		sd = max(sd, math.Sqrt(max(p*(1-p), 0)/c.of))
	}
	return sd / math.Sqrt(float64(c.window))
}
