package evaluate

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
)

// begunFactor: an answer that has begun may wait that much longer for its next
// piece than a server may for anything, as vLLM sets answers aside when its
// cache is full.
const begunFactor = 3

// watch tells a server that hangs from one that is busy. A long answer has no
// time limit, and one that waits its turn may get nothing for as long; but
// while a server lives, something comes from it in one stream or another.
type watch struct {
	s      *Server
	quiet  time.Duration
	cancel context.CancelCauseFunc
	pieces atomic.Int64
	last   atomic.Int64 // piece of this stream, in Unix nanoseconds

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

func (s *Server) watch(quiet time.Duration, cancel context.CancelCauseFunc) *watch {
	w := &watch{s: s, quiet: quiet, cancel: cancel}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(quiet, w.look)
	return w
}

// event is called with every piece.
func (w *watch) event() {
	w.pieces.Add(1)
	w.last.Store(time.Now().UnixNano())
	w.s.heard()
}

// look ends the stream if it is dead, else looks again when it can be.
func (w *watch) look() {
	left := w.quiet - w.s.quietFor()
	if w.pieces.Load() > 1 {
		left = min(left, begunFactor*w.quiet-time.Since(time.Unix(0, w.last.Load())))
	}
	if left <= 0 {
		w.cancel(&endpoint.TimeoutError{After: w.quiet})
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.timer.Reset(left)
	}
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.timer.Stop()
}
