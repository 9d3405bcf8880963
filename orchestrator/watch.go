package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/orchestrator/monitor"
)

// StopError ends a run in which a failure signature began whose action is stop.
// The step boundary is saved: the run can be resumed.
type StopError struct {
	Event journal.Event
	Out   string // the run directory
}

func (e *StopError) Error() string {
	return fmt.Sprintf("step %d: %s: %s; the run is saved, and justrl run --resume --out %s goes on once that is put right; --set monitor.%s.action=%s there trains on all the same",
		e.Event.Step+1, e.Event.Signature, e.Event.Message, e.Out, e.Event.Signature, config.ActionWarn)
}

// recipeChange is a step from which on the run is of another recipe.
type recipeChange struct {
	step      int
	validated bool // in what is measured, too: the measurement before the step is of the old one
}

// recipeChanges are those of the resumed processes, in order.
func recipeChanges(all []journal.Resume) (changes []recipeChange) {
	for _, r := range journal.RecipeChanges(all) {
		changes = append(changes, recipeChange{r.NextStep, slices.ContainsFunc(r.Recipe, func(key string) bool { return strings.HasPrefix(key, "validation.") })})
	}
	return changes
}

// watchAgain tells a new monitor what the records hold, which is what an
// undisturbed run's has been told. What begins at the boundary that the run goes
// on from, and was not recorded because the process ended first, is noticed now.
func (r *Run) watchAgain() error {
	r.monitor = monitor.New(r.Config)
	steps, err := r.Journal.Steps()
	if err != nil {
		return err
	}
	measured, err := r.Journal.Validations()
	if err != nil {
		return err
	}
	told, err := r.Journal.Events()
	if err != nil {
		return err
	}
	resumes, err := journal.Resumes(r.Journal.Path())
	if err != nil {
		return err
	}
	changes := recipeChanges(resumes)
	var missed []journal.Event
	look := func(done int, events []journal.Event) {
		for _, e := range events {
			if done == r.progress.NextStep && !slices.ContainsFunc(told, func(o journal.Event) bool { return o.Step == e.Step && o.Signature == e.Signature }) {
				missed = append(missed, e)
			}
		}
	}
	upTo := func(done int) {
		measure := func(last int) {
			for len(measured) > 0 && measured[0].Steps <= last {
				look(measured[0].Steps, r.monitor.Validated(measured[0]))
				measured = measured[1:]
			}
		}
		for len(changes) > 0 && changes[0].step <= done {
			at := changes[0].step
			if !changes[0].validated { // the weights before the step are what the new recipe begins with
				at--
			}
			measure(at)
			r.monitor.Changed()
			changes = changes[1:]
		}
		measure(done)
	}
	for _, s := range steps {
		upTo(s.Step)
		look(s.Step+1, r.monitor.Step(s))
	}
	upTo(r.progress.NextStep)
	r.monitor.Rearm()
	return r.notice(missed)
}

// notice records what the monitor has found, tells of it, and remembers what is
// to be done about it at the step's boundary.
func (r *Run) notice(events []journal.Event) error {
	for _, e := range events {
		if e.Action == config.ActionPause && r.complete() {
			e.Action = config.ActionWarn // there is nothing left to hold back
		}
		if e.Action == config.ActionPause {
			e.Message += "; the run is saved and waits: remove " + journal.PausedPath(r.Journal.Path()) + " to go on"
			// Before anybody is told to remove it, and whatever ends the process before it waits.
			if err := r.Journal.Pause(e.Signature + ": " + e.Message); err != nil {
				return err
			}
			r.pausing = true
		}
		if err := r.tell(e); err != nil {
			return err
		}
		if e.Action == config.ActionStop && r.stopped == nil {
			r.stopped = &StopError{Event: e, Out: r.Journal.Path()}
		}
	}
	return nil
}

func (r *Run) tell(e journal.Event) error {
	e.Time = r.Now().UTC()
	if err := r.Journal.AppendEvent(e); err != nil {
		return err
	}
	r.Observer.Event(e)
	return nil
}

// halted is what ends the run at this boundary; nil for nothing.
func (r *Run) halted() error {
	if r.stopped == nil {
		return nil
	}
	return r.stopped
}

// lookAgain is how often a paused run looks whether it may go on.
const lookAgain = time.Second

// wait holds the run at a step boundary while the file of journal.PausedPath is
// there: the monitor's, or somebody's. The boundary is saved first; no server is
// asked for anything.
func (r *Run) wait(ctx context.Context) error {
	told := r.pausing
	r.pausing = false
	reason, paused, err := r.Journal.Paused()
	if !paused || err != nil {
		return err
	}
	if err := r.save(context.WithoutCancel(ctx), nil); err != nil {
		return err
	}
	if !told {
		message := "the run is saved and waits: remove " + journal.PausedPath(r.Journal.Path()) + " to go on"
		if reason != "" {
			message += " (it says: " + reason + ")"
		}
		if err := r.tell(journal.Event{Step: r.progress.NextStep - 1, Signature: journal.SignaturePaused, Action: config.ActionPause, Message: message}); err != nil {
			return err
		}
	}
	r.Observer.Phase(r.progress.NextStep, "paused")
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for paused {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if _, paused, err = r.Journal.Paused(); err != nil {
			return err
		}
	}
	return nil
}
