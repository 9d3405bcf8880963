package hub

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
)

// watch ends a request that brings nothing for a while, or so little for so long
// that it would never end. One goroutine uses it.
type watch struct {
	timer *time.Timer
	after time.Duration // without a byte; and what a rate is the average of, at least
	least int64         // bytes a second
	stop  context.CancelCauseFunc

	since time.Time // of came; zero before the first byte
	came  int64     // bytes after it

	paused time.Time
}

// watched is ctx with a watch over it, which the caller ends.
func (c *Client) watched(ctx context.Context) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{after: c.o.Stall, least: c.o.Slowest, stop: cancel}
	w.timer = time.AfterFunc(w.after, func() { cancel(&stallError{after: w.after}) })
	return ctx, w
}

// news says that n bytes of a body have come; 0 is a reply's head. A rate is
// measured from the first on: what a server thinks before it sends is not held
// against the transfer.
func (w *watch) news(n int) {
	w.timer.Reset(w.after)
	if n == 0 {
		return
	}
	now := time.Now()
	if w.since.IsZero() {
		w.since = now
		return
	}
	w.came += int64(n)
	// No timer: bytes do come, or the other one ends it.
	took := now.Sub(w.since)
	if took < w.after {
		return
	}
	if float64(w.came) < float64(w.least)*took.Seconds() {
		w.stop(&stallError{after: took, came: w.came, least: w.least})
	}
	w.since, w.came = now, 0
}

// pause stops the clock while what has come is put away: that a disk is slow is not
// held against the network.
func (w *watch) pause() {
	w.timer.Stop()
	w.paused = time.Now()
}

// resume goes on after a pause.
func (w *watch) resume() {
	if !w.since.IsZero() {
		w.since = w.since.Add(time.Since(w.paused))
	}
	w.timer.Reset(w.after)
}

func (w *watch) end() {
	w.timer.Stop()
	w.stop(nil)
}

// stalled makes an outage of a request that its watch has ended: it can be sent
// again. Any other error stays what it is.
func stalled(req *http.Request, err error) error {
	var stall *stallError
	if errors.As(context.Cause(req.Context()), &stall) {
		return &endpoint.UnreachableError{Method: req.Method, URL: bare(req.URL.String()), Err: stall, Hint: networkHint + "; run it again: what has come is kept"}
	}
	return err
}
