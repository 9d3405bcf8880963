package openaitest

import (
	"context"
	"sync"
)

// gate is the engine's pause switch: requests enter and leave it, and pass it
// before every token.
type gate struct {
	mu      sync.Mutex
	paused  bool
	frozen  bool          // pause in mode keep: requests under way stop where they are
	aborts  int           // pauses in mode abort so far
	inside  int           // generations under way
	changed chan struct{} // closed and replaced at every change
}

func (g *gate) init() { g.changed = make(chan struct{}) }

// change runs f under the lock and wakes everybody who waits.
func (g *gate) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
	g.wake()
}

// wake lets everybody who waits look again; the lock is held.
func (g *gate) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// until waits for cond, which is called under the lock and may change the gate.
func (g *gate) until(ctx context.Context, cond func() bool) error {
	for {
		g.mu.Lock()
		ok, changed := cond(), g.changed
		g.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// enter waits while paused. The ticket is handed to pass.
func (g *gate) enter(ctx context.Context) (ticket int, err error) {
	err = g.until(ctx, func() bool {
		if g.paused {
			return false
		}
		g.inside++
		ticket = g.aborts
		g.wake()
		return true
	})
	return ticket, err
}

func (g *gate) leave() { g.change(func() { g.inside-- }) }

// pass waits while frozen and tells whether the request is to be aborted.
func (g *gate) pass(ctx context.Context, ticket int) (abort bool, err error) {
	err = g.until(ctx, func() bool {
		abort = g.aborts != ticket
		return abort || !g.frozen
	})
	return abort, err
}

// pause stops the engine in one of vLLM's modes, and returns when it stands.
func (g *gate) pause(ctx context.Context, mode string) error {
	g.change(func() {
		g.paused = true
		switch mode {
		case "abort":
			g.aborts++
		case "keep":
			g.frozen = true
		}
	})
	if mode == "keep" {
		return nil
	}
	return g.until(ctx, func() bool { return g.inside == 0 })
}

func (g *gate) resume() { g.change(func() { g.paused, g.frozen = false, false }) }

// abort ends the requests under way.
func (g *gate) abort() (n int) {
	g.change(func() { g.aborts++; n = g.inside })
	return n
}

func (g *gate) isPaused() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paused
}

func (g *gate) running() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside
}
