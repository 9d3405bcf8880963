package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// figure is one diagram over the steps of the run.
type figure struct {
	id, title, unit string
	about           string // what a newcomer needs to know to read it
	format          format // of the values in words
	zero            bool   // the axis begins at 0
	low, high       float64
	fixed           bool // the axis goes from low to high, whatever the data
	log             bool // an axis of powers of ten; what is not above 0 is a gap
	stacked         bool // the curves are layers on each other
	curves          []curve
}

// curve is one quantity of a figure, a value for each x.
type curve struct {
	name   string
	x, y   []float64
	ink    ink
	dashed bool
	dots   bool // few measurements: mark each one
	// upper and lower, where there are any, bound an area around the curve;
	// spread says what it is.
	lower, upper []float64
	spread       string
	bounds       bool // the area's first and last bounds are worth a word
}

// smoothFrom is how many steps a curve has at least before its running mean is
// drawn over it.
const smoothFrom = 200

// window is how many steps a running mean is over; 0 where none is drawn.
func (f figure) window() int {
	n := 0
	for _, c := range f.curves {
		if !c.dots {
			n = max(n, len(c.y))
		}
	}
	if n < smoothFrom {
		return 0
	}
	return n/40 | 1
}

// empty: there is nothing to draw.
func (f figure) empty() bool {
	return !slices.ContainsFunc(f.curves, func(c curve) bool { return c.first() >= 0 })
}

// first and last are where a curve has its first and last value; -1 if it has none.
func (c curve) first() int { return slices.IndexFunc(c.y, finite) }

func (c curve) last() int {
	for i := len(c.y) - 1; i >= 0; i-- {
		if finite(c.y[i]) {
			return i
		}
	}
	return -1
}

// change is the curve's first and last value in words.
func (c curve) change(f format) string {
	first, last := c.first(), c.last()
	switch {
	case first < 0:
		return "no values"
	case first == last:
		return f(c.y[first])
	default:
		return f(c.y[first]) + " → " + f(c.y[last])
	}
}

// words says what the figure shows to those who do not see it.
func (f figure) words() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, over the steps of the run.", f.title, f.unit)
	for _, c := range f.curves {
		first, last := c.first(), c.last()
		if first < 0 {
			continue
		}
		fmt.Fprintf(&b, " %s:", upperFirst(c.name))
		if first == last {
			fmt.Fprintf(&b, " %s at step %s.", f.format(c.y[first]), plain(c.x[first]))
			continue
		}
		low, high := c.extremes()
		fmt.Fprintf(&b, " from %s at step %s to %s at step %s; least %s at step %s, greatest %s at step %s.",
			f.format(c.y[first]), step(c.x[first]), f.format(c.y[last]), step(c.x[last]),
			f.format(c.y[low]), step(c.x[low]), f.format(c.y[high]), step(c.x[high]))
	}
	return b.String()
}

// extremes returns where the curve is least and greatest; it must have a value.
func (c curve) extremes() (low, high int) {
	low = c.first()
	high = low
	for i, y := range c.y {
		if finite(y) && y < c.y[low] {
			low = i
		}
		if finite(y) && y > c.y[high] {
			high = i
		}
	}
	return low, high
}

// step writes a number of steps.
func step(x float64) string {
	if x != math.Trunc(x) || math.Abs(x) > 1e15 {
		return plain(x)
	}
	return count(int64(x))
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
