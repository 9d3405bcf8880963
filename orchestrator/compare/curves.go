package compare

import (
	"math"
	"slices"

	"github.com/justrl/justrl/internal/chart"
	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/orchestrator/journal"
)

// mostPoints is how many places a budget is cut into for a curve.
const mostPoints = 120

// figure draws a measure of all recipes over an axis.
func (c *Comparison) figure(m measure, axis int) chart.Figure {
	a := axes[axis]
	most := 0.0
	for _, p := range c.Recipes {
		for _, r := range p.Runs {
			if took := r.took(axis); took > most {
				most = took
			}
		}
	}
	u := a.unitFor(most)
	f := chart.Figure{
		ID: a.ID + "-" + m.id, Title: numerals.UpperFirst(m.name), Unit: m.unit, Format: m.format,
		About: m.about, X: u.name, Over: "over the " + a.Name, XMax: most / u.size, Fixed: m.low != m.high, Low: m.low, High: m.high,
	}
	for i, p := range c.Recipes {
		curve := p.curve(m, axis)
		curve.Ink, curve.Dots = chart.Line(i), m.of == nil
		for j := range curve.X {
			curve.X[j] /= u.size
		}
		f.Curves = append(f.Curves, curve)
	}
	return f
}

// curve is a recipe's mean over its seeds, where all its runs have a value.
func (p *Recipe) curve(m measure, axis int) chart.Curve {
	x, values := p.heldOut(m, axis)
	if m.of != nil {
		x, values = p.training(m, axis)
	}
	curve := chart.Curve{Name: p.Name, X: x}
	if len(p.Runs) > 1 {
		curve.Spread = "95 % interval, " + numerals.CountOf(len(p.Runs), "seed")
	}
	for _, v := range values {
		s := statOf(v)
		curve.Y = append(curve.Y, m.shown(s.Mean))
		if len(p.Runs) > 1 {
			low, high := s.Mean-s.Half, s.Mean+s.Half
			if m.share { // there is nothing beyond
				low, high = max(low, 0), min(high, 1)
			}
			curve.Lower, curve.Upper = append(curve.Lower, m.shown(low)), append(curve.Upper, m.shown(high))
		}
	}
	return curve
}

// training is a figure of the steps at places of the axis: of each run the mean
// over its steps since the place before, or what lies between two steps.
func (p *Recipe) training(m measure, axis int) (x []float64, values [][]float64) {
	low, high, steps := 0.0, math.Inf(1), math.MaxInt
	for _, r := range p.Runs {
		if len(r.steps) == 0 || math.IsNaN(r.took(axis)) {
			return nil, nil
		}
		low, high, steps = max(low, r.steps[0].at[axis]), min(high, r.took(axis)), min(steps, len(r.steps))
	}
	if high < low {
		return nil, nil
	}
	n := steps
	if axes[axis].ID != "step" {
		n = min(n, mostPoints)
	}
	before := math.Inf(-1)
	for i := range n {
		at := high
		if n > 1 {
			at = low + (high-low)*float64(i)/float64(n-1)
		}
		var v []float64
		for _, r := range p.Runs {
			v = append(v, r.near(m, axis, before, at))
		}
		x, values, before = append(x, at), append(values, v), at
	}
	return x, values
}

// near is a figure of a run's steps between two places, or where no step ends
// there what lies between those around.
func (r *Run) near(m measure, axis int, after, upTo float64) float64 {
	end := r.upTo(axis, upTo)
	begin := end
	sum := 0.0
	for begin > 0 && r.steps[begin-1].at[axis] > after*(1+1e-12) {
		begin--
		sum += m.of(r.steps[begin])
	}
	switch {
	case end > begin:
		return sum / float64(end-begin)
	case end == 0: // before the first: not asked for
		return m.of(r.steps[0])
	case end == len(r.steps):
		return m.of(r.steps[end-1])
	}
	a, b := r.steps[end-1], r.steps[end]
	share := (upTo - a.at[axis]) / (b.at[axis] - a.at[axis])
	return m.of(a)*(1-share) + m.of(b)*share
}

// heldOut is the accuracy after each number of steps that all runs were measured
// at, at the mean of what they had taken; and where runs end after different numbers
// of steps, as those of a budget do, of their last measurements together.
func (p *Recipe) heldOut(m measure, axis int) (x []float64, values [][]float64) {
	if m.set == "" || len(p.Runs) == 0 {
		return nil, nil
	}
	// add takes the measurement that of chooses of each run; not if one has none.
	add := func(of func(*Run) int) {
		var at float64
		var v []float64
		for _, r := range p.Runs {
			i := of(r)
			if i < 0 {
				return
			}
			a, _ := m.accuracy(r.measured[i])
			at += r.after(axis, r.measured[i].Steps) / float64(len(p.Runs))
			v = append(v, a)
		}
		if !math.IsNaN(at) && (len(x) == 0 || at > x[len(x)-1]*(1+1e-12)) {
			x, values = append(x, at), append(values, v)
		}
	}
	for _, first := range p.Runs[0].measured {
		add(func(r *Run) int {
			return slices.IndexFunc(r.measured, func(o journal.Validation) bool {
				_, has := m.accuracy(o)
				return has && o.Steps == first.Steps
			})
		})
	}
	add(func(r *Run) int {
		for i := len(r.measured) - 1; i >= 0; i-- {
			if _, has := m.accuracy(r.measured[i]); has {
				return i
			}
		}
		return -1
	})
	return x, values
}

// Curve is the first held-out set's diagram over the tokens that the runs took, for
// documents, as the policy samples it where that was measured, because greedy answers
// come to their ceiling early; over the steps, or of the reward, where there is no
// better one. False if there is none.
func (c *Comparison) Curve() (chart.Figure, bool) {
	for _, fits := range []func(measure) bool{
		func(m measure) bool { return m.sampled },
		func(m measure) bool { return m.set != "" },
		func(measure) bool { return true },
	} {
		for _, axis := range []string{"tokens", "step"} {
			for _, m := range c.measures {
				if f := c.figure(m, axisAt(axis)); fits(m) && !f.Empty() {
					return f, true
				}
			}
		}
	}
	return chart.Figure{}, false
}
