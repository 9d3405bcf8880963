package report

import (
	"slices"
	"strings"

	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/orchestrator/journal"
)

// mostEvents is how many are shown, the newest.
const mostEvents = 200

// readEvents returns the newest events in the order of the file, and how many there are.
func readEvents(path string) (newest []journal.Event, n int, err error) {
	for e, err := range journal.Lines[journal.Event](journal.EventsPath(path)) {
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

// eventView is an event as the page shows it.
type eventView struct{ Step, Action, Signature, Message string }

// eventViews are the newest events, the newest first, and a word on the others.
func (r *run) eventViews() (all []eventView, left string) {
	for _, e := range slices.Backward(r.events) {
		all = append(all, eventView{numerals.Count(int64(e.Step) + 1), e.Action, strings.ReplaceAll(e.Signature, "_", " "), e.Message})
	}
	if n := r.noticed - len(all); n > 0 {
		left = numerals.CountOf(n, "older one") + " in events.jsonl."
	}
	return all, left
}
