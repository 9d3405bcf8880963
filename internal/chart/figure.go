package chart

import (
	"fmt"
	"slices"
	"strings"

	"github.com/justrl/justrl/internal/numerals"
)

// Figure is one diagram of curves.
type Figure struct {
	ID, Title, Unit string
	About           string          // what a newcomer needs to know to read it
	Format          numerals.Format // of the values in words
	// X names the horizontal axis, and Over says in words what it goes over;
	// it goes from XMin to XMax, which is at least one more.
	X, Over    string
	XMin, XMax float64
	Zero       bool // the vertical axis begins at 0
	Low, High  float64
	Fixed      bool // the vertical axis goes from Low to High, whatever the data
	Log        bool // an axis of powers of ten; what is not above 0 is a gap
	Stacked    bool // the curves are layers on each other
	Curves     []Curve
}

// Curve is one quantity of a figure, a value for each X.
type Curve struct {
	Name   string
	X, Y   []float64
	Ink    Ink
	Dashed bool
	Dots   bool // few measurements: mark each one
	// Upper and Lower, where there are any, bound an area around the curve;
	// Spread says what it is.
	Lower, Upper []float64
	Spread       string
	Bounds       bool // the area's first and last bounds are worth a word
}

// smoothFrom is how many steps a curve has at least before its running mean is
// drawn over it.
const smoothFrom = 200

// Window is how many steps a running mean is over; 0 where none is drawn.
func (f Figure) Window() int {
	n := 0
	for _, c := range f.Curves {
		if !c.Dots {
			n = max(n, len(c.Y))
		}
	}
	if n < smoothFrom {
		return 0
	}
	return n/40 | 1
}

// Empty: there is nothing to draw.
func (f Figure) Empty() bool {
	return !slices.ContainsFunc(f.Curves, func(c Curve) bool { return c.First() >= 0 })
}

// First is where a curve has its first value; -1 if it has none.
func (c Curve) First() int { return slices.IndexFunc(c.Y, numerals.Finite) }

// Last is where it has its last value; -1 if it has none.
func (c Curve) Last() int {
	for i := len(c.Y) - 1; i >= 0; i-- {
		if numerals.Finite(c.Y[i]) {
			return i
		}
	}
	return -1
}

// Change is the curve's first and last value in words.
func (c Curve) Change(f numerals.Format) string {
	first, last := c.First(), c.Last()
	switch {
	case first < 0:
		return "no values"
	case first == last:
		return f(c.Y[first])
	default:
		return f(c.Y[first]) + " → " + f(c.Y[last])
	}
}

// words says what the figure shows to those who do not see it.
func (f Figure) words() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %s.", f.Title, f.Unit, f.Over)
	for _, c := range f.Curves {
		first, last := c.First(), c.Last()
		if first < 0 {
			continue
		}
		fmt.Fprintf(&b, " %s:", numerals.UpperFirst(c.Name))
		if first == last {
			fmt.Fprintf(&b, " %s at %s %s.", f.Format(c.Y[first]), f.X, numerals.Plain(c.X[first]))
			continue
		}
		low, high := c.extremes()
		fmt.Fprintf(&b, " from %s to %s; least %s, greatest %s.", f.at(c, first), f.at(c, last), f.at(c, low), f.at(c, high))
	}
	return b.String()
}

// extremes returns where the curve is least and greatest; it must have a value.
func (c Curve) extremes() (low, high int) {
	low = c.First()
	high = low
	for i, y := range c.Y {
		if numerals.Finite(y) && y < c.Y[low] {
			low = i
		}
		if numerals.Finite(y) && y > c.Y[high] {
			high = i
		}
	}
	return low, high
}

// at is a value of the curve and where it is, in words.
func (f Figure) at(c Curve, i int) string {
	return f.Format(c.Y[i]) + " at " + f.X + " " + numerals.Step(c.X[i])
}
