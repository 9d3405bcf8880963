package monitor

import (
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

// Monitor is the state of all signatures. It is not safe for concurrent use.
type Monitor struct {
	of    config.Config
	seen  history
	watch []*watch
	rearm int
}

// watch is a signature that is looked for.
type watch struct {
	signature
	config.Signature
	told bool // and not away for long enough to be told again
	well int  // judgements without it since
}

// New watches a run of a valid configuration from its first step on.
func New(c config.Config) *Monitor {
	m := &Monitor{of: c, seen: newHistory(c), rearm: c.Monitor.Rearm}
	settings := c.Monitor.Signatures()
	for _, s := range signatures() {
		if set := settings[s.name]; set.Action != config.ActionOff {
			m.watch = append(m.watch, &watch{signature: s, Signature: set})
		}
	}
	return m
}

// Step takes the record of the next step and returns the events that begin
// with it, without a time, in the order of docs/monitoring.md.
func (m *Monitor) Step(s journal.Step) []journal.Event {
	m.seen.add(s)
	return m.judge(s.Step, afterStep)
}

// Validated takes a measurement, after the steps before it, and returns the
// events that begin with it.
func (m *Monitor) Validated(v journal.Validation) []journal.Event {
	m.seen.measured = append(m.seen.measured, measured(v, m.seen.reward))
	return m.judge(v.Steps-1, afterValidation)
}

// Rescored takes a scoring of the kept answers outside of a step.
func (m *Monitor) Rescored(step int, r journal.Rescored) []journal.Event {
	m.seen.rescored = &r
	return m.judge(step, afterRescoring)
}

// Changed says that from the next record on the run is of another recipe: longer
// answers, another reward. What was before is no measure for that, and is forgotten.
func (m *Monitor) Changed() {
	m.seen = newHistory(m.of)
	for _, w := range m.watch {
		w.told, w.well = false, 0
	}
}

// Rearm has signatures whose action is stop told again at once where they are
// still there: a run that is resumed goes on only where its settings say so.
func (m *Monitor) Rearm() {
	for _, w := range m.watch {
		if w.Action == config.ActionStop {
			w.told = false
		}
	}
}

func (m *Monitor) judge(step int, when moment) (events []journal.Event) {
	for _, w := range m.watch {
		if w.when != when && (when != afterStep || w.when != afterRescoring) {
			continue
		}
		f, ok := w.judge(&m.seen, step, w.Threshold, w.told)
		switch {
		case !ok: // nothing is known of it in this step
		case !f.ill:
			if w.well++; w.well >= m.rearm || w.sparse {
				w.told = false
			}
		default:
			if w.well = 0; !w.told {
				w.told = true
				events = append(events, journal.Event{
					Step: step, Signature: w.name, Action: w.Action, Message: f.message + "; look at " + w.look, Evidence: f.evidence,
				})
			}
		}
	}
	return events
}
