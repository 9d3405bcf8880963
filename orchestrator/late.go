package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// StepTimeoutError says that a step was not sampled within sampling.step_timeout.
// What there is of it is kept, and the run can be resumed.
type StepTimeoutError struct {
	Step     int
	After    time.Duration
	Missing  int      // rollouts that are not there
	Rollouts int      // of as many that the step has drawn so far
	Waiting  []string // for what, in words: the server that was waited for longest first
}

func (e *StepTimeoutError) Error() string {
	at := "no server had been asked for them"
	if len(e.Waiting) > 0 {
		at = strings.Join(e.Waiting, "; ")
	}
	return fmt.Sprintf("step %d: sampling took longer than sampling.step_timeout (%s): %d of %d rollouts are missing: %s; "+
		"look at the log of the server that was waited for longest, or raise sampling.step_timeout; what was sampled is kept",
		e.Step, e.After, e.Missing, e.Rollouts, at)
}

// bounded is ctx until sampling.step_timeout is over; its cause is then a
// StepTimeoutError that says what was waited for at that moment. The caller
// calls stop, which waits until nothing of it runs any more.
func (r *Run) bounded(ctx context.Context, step int) (_ context.Context, stop func()) {
	limit := time.Duration(r.Config.Sampling.StepTimeout)
	if limit == 0 {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	over := make(chan struct{})
	timer := time.AfterFunc(limit, func() {
		defer close(over)
		late := &StepTimeoutError{Step: step, After: limit}
		if r.Servers != nil {
			late.Waiting = r.Servers.Waiting()
		}
		cancel(late)
	})
	return ctx, func() {
		if !timer.Stop() {
			<-over
		}
		cancel(nil)
	}
}

// late is err, or the timeout that is behind it, with what is missing.
func (r *Run) late(ctx context.Context, err error, l *ledger) error {
	var late *StepTimeoutError
	if !errors.As(context.Cause(ctx), &late) || !errors.Is(err, context.Canceled) && !errors.Is(err, late) {
		return err
	}
	late.Rollouts = len(r.drawn) * l.n
	late.Missing = max(0, late.Rollouts-l.file.Len())
	return late
}
