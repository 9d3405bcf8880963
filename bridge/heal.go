package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
)

// Healer leaves a server usable after a pause or a load that failed or was given
// up: what every Publisher needs that pauses its server. The fields are set by
// the Publisher; all are needed.
type Healer struct {
	// Reload loads a snapshot into the paused server.
	Reload func(ctx context.Context, s Snapshot) error
	// Resume lets requests go on, and tries more than once; ResumeOnce does not.
	Resume, ResumeOnce func(ctx context.Context) error
	// Left says how the server is left if no whole weights could be put back.
	Left string
	// Limit bounds all that is done, although the context of the load may be over.
	Limit time.Duration
}

// Detached is a context for what must be tried although ctx may be over.
func Detached(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}

// SecondTry is what two tries at a load came to, of which the first may have
// touched the weights: then no [ErrUnsupported] of the second says that nothing was.
func SecondTry(first, second error) error {
	if errors.Is(second, ErrUnsupported) {
		return fmt.Errorf("%w; then %v", first, second) //nolint:errorlint // that is the point
	}
	return second
}

// AfterPause undoes a pause that may have been made although its answer, err,
// did not come. It returns err, and what is left to be done.
func (h Healer) AfterPause(ctx context.Context, err error) error {
	if errors.Is(err, ErrUnsupported) {
		return err
	}
	ctx, cancel := Detached(ctx, h.Limit)
	defer cancel()
	resume := h.Resume
	if endpoint.Unreachable(err) { // gone, most likely; but if only its answers were lost, it must not stay paused
		resume = h.ResumeOnce
	}
	e := resume(ctx)
	if e == nil || endpoint.Unreachable(err) && endpoint.Unreachable(e) {
		return err
	}
	return fmt.Errorf("%w; it may be left paused (%w)", err, e)
}

// AfterLoad answers err, the failure of a load of s into a server that served
// good (its Dir is "" before the first load): it puts good back, or s where
// nothing is known to be wrong with that, and resumes the server only with
// whole weights. It returns what can be put back next time, and err with what
// became of the server.
func (h Healer) AfterLoad(ctx context.Context, good, s Snapshot, err error) (Snapshot, error) {
	try := []Snapshot{good}
	if ctx.Err() != nil || endpoint.Unreachable(err) { // nothing is known to be wrong with s
		try = append(try, s)
	}
	ctx, cancel := Detached(ctx, h.Limit)
	defer cancel()
	if errors.Is(err, ErrUnsupported) { // nothing was touched
		if e := h.Resume(ctx); e != nil {
			return good, fmt.Errorf("%w; it is left paused (%w)", err, e)
		}
		return good, err
	}
	for _, t := range try {
		if t.Dir == "" {
			continue
		}
		e := h.Reload(ctx, t)
		switch {
		case endpoint.Unreachable(e) && endpoint.Unreachable(err): // it is gone, and nothing is left to be resumed
			return good, err
		case endpoint.Unreachable(e):
			return good, fmt.Errorf("%w; then nothing could be put back (%w)", err, e)
		case e != nil:
			continue
		}
		if e := h.Resume(ctx); e != nil {
			return t, fmt.Errorf("%w; it is left paused (%w)", err, e)
		}
		return t, fmt.Errorf("%w; it has been put on version %d and resumed", err, t.Version)
	}
	return Snapshot{}, fmt.Errorf("%w; %s", err, h.Left)
}
