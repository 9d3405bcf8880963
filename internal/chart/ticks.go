package chart

import (
	"math"

	"gonum.org/v1/plot"

	"github.com/justrl/justrl/internal/numerals"
)

// ticks marks the multiples of step, or where that is 0 of a round number that
// gives about count marks.
type ticks struct {
	step  float64
	count int
	whole bool // whole numbers only
}

// Ticks implements plot.Ticker.
func (t ticks) Ticks(low, high float64) []plot.Tick {
	step := t.step
	if step == 0 {
		step = roundStep((high - low) / float64(max(1, t.count)))
	}
	if t.whole {
		step = max(1, step)
	}
	if t.whole && step == 2.5 {
		step = 5
	}
	var all []plot.Tick
	if !(step > 0) || !numerals.Finite(step) {
		return all
	}
	for i := math.Ceil(low/step - 1e-6); i <= high/step+1e-6 && len(all) < 50; i++ {
		v := i * step
		if i == 0 {
			v = 0 // not −0
		}
		all = append(all, plot.Tick{Value: v, Label: numerals.Tick(roundTo(v, step))})
	}
	return all
}

// powers marks the powers of ten on an axis of logarithms.
type powers struct{ count int }

// Ticks implements plot.Ticker.
func (p powers) Ticks(low, high float64) []plot.Tick {
	every := max(1, int(math.Ceil((high-low)/float64(max(1, p.count)))))
	var all []plot.Tick
	for e := int(math.Ceil(low - 1e-9)); float64(e) <= high+1e-9 && len(all) < 100; e += every {
		all = append(all, plot.Tick{Value: float64(e), Label: "10" + numerals.Superscript(e)})
	}
	return all
}

// roundStep is the least of 1, 2, 2.5 and 5 times a power of ten that is at least x.
func roundStep(x float64) float64 {
	if !(x > 0) || !numerals.Finite(x) {
		return 0
	}
	base := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*base >= x*(1-1e-9) {
			return m * base
		}
	}
	return 10 * base
}

// roundTo removes what a multiplication left behind the digits that a step has.
func roundTo(v, step float64) float64 {
	unit := step / 1000
	return math.Round(v/unit) * unit
}
