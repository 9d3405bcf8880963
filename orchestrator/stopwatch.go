package orchestrator

import "time"

// stopwatch times the phases of a step.
type stopwatch struct {
	now         func() time.Time
	began, last time.Time
}

func startStopwatch(now func() time.Time) stopwatch {
	t := now()
	return stopwatch{now: now, began: t, last: t}
}

func (w *stopwatch) lap() float64 {
	now := w.now()
	d := now.Sub(w.last)
	w.last = now
	return d.Seconds()
}

func (w stopwatch) total() float64 { return w.now().Sub(w.began).Seconds() }
