package orchestrator

import "github.com/justrl/justrl/orchestrator/journal"

// Observers are several observers as one: each is told everything, in this
// order, before the next thing is told. None of them sees what another does.
type Observers []Observer

var _ Observer = Observers(nil)

// Phase implements [Observer].
func (all Observers) Phase(step int, phase string) {
	for _, o := range all {
		o.Phase(step, phase)
	}
}

// StepDone implements [Observer].
func (all Observers) StepDone(s journal.Step, steps int) {
	for _, o := range all {
		o.StepDone(s, steps)
	}
}

// Validated implements [Observer].
func (all Observers) Validated(step int, set string, accuracy float64, sampled *float64) {
	for _, o := range all {
		o.Validated(step, set, accuracy, sampled)
	}
}

// Notice implements [Observer].
func (all Observers) Notice(format string, args ...any) {
	for _, o := range all {
		o.Notice(format, args...)
	}
}

// Event implements [Observer].
func (all Observers) Event(e journal.Event) {
	for _, o := range all {
		o.Event(e)
	}
}
