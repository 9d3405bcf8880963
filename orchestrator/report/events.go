package report

import (
	"path/filepath"
	"time"

	"github.com/justrl/justrl/orchestrator/journal"
)

// Event is something that a run noticed about itself, a line of events.jsonl.
type Event struct {
	Time      time.Time          `json:"time"`
	Step      int                `json:"step"` // the last that had been recorded; -1 before the first
	Signature string             `json:"signature"`
	Action    string             `json:"action"` // warn, pause or stop
	Message   string             `json:"message"`
	Evidence  map[string]float64 `json:"evidence,omitempty"`
}

// EventsPath is the file of [Event] lines in a run directory.
func EventsPath(run string) string { return filepath.Join(run, "events.jsonl") }

// mostEvents is how many are shown, the newest.
const mostEvents = 200

// readEvents returns the newest events in the order of the file, and how many there are.
func readEvents(path string) (newest []Event, n int, err error) {
	for e, err := range journal.Lines[Event](EventsPath(path)) {
		if err != nil {
			return nil, 0, err
		}
		if n++; len(newest) == 2*mostEvents {
			newest = append(newest[:0], newest[mostEvents:]...)
		}
		newest = append(newest, e)
	}
	return newest[max(0, len(newest)-mostEvents):], n, nil
}
