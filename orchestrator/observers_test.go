package orchestrator

import (
	"fmt"
	"slices"
	"testing"

	"github.com/justrl/justrl/orchestrator/journal"
)

// told writes down what it is told, under a name.
type told struct {
	name string
	log  *[]string
}

func (o told) say(format string, args ...any) {
	*o.log = append(*o.log, o.name+": "+fmt.Sprintf(format, args...))
}
func (o told) Phase(step int, phase string)       { o.say("phase %d %s", step, phase) }
func (o told) StepDone(s journal.Step, steps int) { o.say("step %d of %d", s.Step, steps) }
func (o told) Validated(step int, set string, accuracy float64, sampled *float64) {
	o.say("validated %d %s %g %g", step, set, accuracy, *sampled)
}

func (o told) Event(e journal.Event) { o.say("%s: %s", e.Signature, e.Message) }

func (o told) Notice(format string, args ...any) { o.say(format, args...) }

// Each observer is told everything, in order, and nothing of it is lost.
func TestObservers(t *testing.T) {
	var log []string
	sampled := 0.25
	all := Observers{told{"a", &log}, told{"b", &log}}
	all.Phase(3, "sample")
	all.StepDone(journal.Step{Step: 3}, 9)
	all.Validated(3, "held", 0.5, &sampled)
	all.Event(journal.Event{Signature: "truncated", Message: "cut off"})
	all.Notice("%d lines were damaged", 2)
	want := []string{
		"a: phase 3 sample", "b: phase 3 sample",
		"a: step 3 of 9", "b: step 3 of 9",
		"a: validated 3 held 0.5 0.25", "b: validated 3 held 0.5 0.25",
		"a: truncated: cut off", "b: truncated: cut off",
		"a: 2 lines were damaged", "b: 2 lines were damaged",
	}
	if !slices.Equal(log, want) {
		t.Errorf("%q, want %q", log, want)
	}
	Observers{}.Phase(0, "sample") // nobody listens
}
