package localserver

import (
	"context"
	"sync"
)

// gate is the pause switch: generations enter and leave it, and wait before
// it while the server is paused.
type gate struct {
	engine Engine
	most   int // samples inside and waiting

	mu       sync.Mutex
	paused   bool
	sleeping bool
	inside   map[*visit]bool
	samples  int           // of those inside and waiting
	changed  chan struct{} // closed and replaced at every change
}

// visit is one generation inside the gate.
type visit struct {
	ids    []string // of its prompts
	n      int      // samples
	cancel context.CancelCauseFunc
}

func newGate(e Engine, most int) *gate {
	return &gate{engine: e, most: most, inside: map[*visit]bool{}, changed: make(chan struct{})}
}

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

// enter waits while paused. It refuses what is over the limit, and gives the
// context of the generation, which leave ends.
func (g *gate) enter(ctx context.Context, ids []string, n int) (context.Context, *visit, error) {
	g.mu.Lock()
	if g.samples+n > g.most {
		g.mu.Unlock()
		return nil, nil, overflow
	}
	g.samples += n
	g.wake()
	g.mu.Unlock()
	v := &visit{ids: ids, n: n}
	inner, cancel := context.WithCancelCause(ctx)
	v.cancel = cancel
	err := g.until(ctx, func() bool {
		if g.paused {
			return false
		}
		g.inside[v] = true
		g.wake()
		return true
	})
	if err != nil {
		cancel(err)
		g.change(func() { g.samples -= n })
		return nil, nil, err
	}
	return inner, v, nil
}

func (g *gate) leave(v *visit) {
	g.change(func() {
		delete(g.inside, v)
		g.samples -= v.n
	})
	v.cancel(nil)
}

// pause stops generation in one of vLLM's modes and returns when it stands:
// "abort" ends what is under way, "wait" lets it end, "keep" freezes it.
func (g *gate) pause(ctx context.Context, mode string) error {
	g.change(func() { g.paused = true })
	if mode == "keep" {
		g.engine.Freeze(true)
		return nil
	}
	if mode == "abort" {
		g.abort(nil)
	}
	g.engine.Freeze(false) // else what an earlier pause kept could not end
	return g.until(ctx, func() bool { return len(g.inside) == 0 })
}

func (g *gate) resume() {
	g.engine.Freeze(false)
	g.change(func() { g.paused = false })
}

// abort ends the generations that have one of the ids, or all, and gives the
// number of samples that they had.
func (g *gate) abort(ids []string) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	for v := range g.inside {
		hit := ids == nil
		for _, id := range v.ids {
			hit = hit || wanted[id]
		}
		if hit {
			v.cancel(ErrAborted)
			n += v.n
		}
	}
	return n
}

func (g *gate) state() (paused, sleeping bool, running int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paused, g.sleeping, len(g.inside)
}
