package compare

import (
	"math"
	"slices"

	"github.com/justrl/justrl/orchestrator/journal"
)

const axisCount = 4

// Axis is what runs are drawn over.
type Axis struct {
	ID, Name, About string
	each            func(journal.Step) float64 // what a step adds; NaN where its record does not say
	equal           bool                       // runs are compared at one budget of it
	units           []unit                     // from the smallest
}

// unit is what an axis is counted in, so that its numbers can be read.
type unit struct {
	size float64
	name string
}

var axes = [axisCount]Axis{
	{ID: "step", Name: "steps", About: "A step of one recipe can take many times what a step of another does: this says how fast recipes learn only where they draw and train on as much.",
		each: func(journal.Step) float64 { return 1 }, units: []unit{{1, "step"}}},
	{ID: "tokens", Name: "tokens generated", About: "Tokens of all answers drawn for training, with those that were left out or drawn again.", equal: true,
		each:  func(s journal.Step) float64 { return known(float64(s.TokensGenerated + s.TokensResampled)) },
		units: []unit{{1, "tokens"}, {1e3, "thousand tokens"}, {1e6, "million tokens"}, {1e9, "billion tokens"}}},
	{ID: "seconds", Name: "server- and trainer-seconds", About: "Seconds in which a server was asked for answers, summed over servers, and those of the updates. They depend on the machines: compare runs of the same ones.",
		each:  func(s journal.Step) float64 { return known(s.ServerSeconds) + known(s.TrainerSeconds) },
		units: []unit{{1, "seconds"}, {60, "minutes"}, {3600, "hours"}}},
	{ID: "flops", Name: "FLOPs", About: "Floating-point operations by formula (docs/formulas.md): what drawing the answers and training on them cannot do without, whatever the machines.", equal: true,
		each:  func(s journal.Step) float64 { return known(s.FLOPsGenerated) + known(s.FLOPsTrained) },
		units: []unit{{1, "FLOP"}, {1e3, "kFLOP"}, {1e6, "MFLOP"}, {1e9, "GFLOP"}, {1e12, "TFLOP"}, {1e15, "PFLOP"}, {1e18, "EFLOP"}, {1e21, "ZFLOP"}}},
}

// known is a figure that a record has; 0 is none.
func known(x float64) float64 {
	if x > 0 {
		return x
	}
	return math.NaN()
}

func axisAt(id string) int { return slices.IndexFunc(axes[:], func(a Axis) bool { return a.ID == id }) }

// unitFor is the largest of which most is a few tens.
func (a Axis) unitFor(most float64) unit {
	best := a.units[0]
	for _, u := range a.units {
		if most >= 20*u.size {
			best = u
		}
	}
	return best
}
