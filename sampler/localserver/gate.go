package localserver

import (
	"context"

	"github.com/justrl/justrl/internal/watched"
)

// gate is the pause switch: generations enter and leave it, and wait before
// it while the server is paused.
type gate struct {
	engine Engine
	most   int // samples inside and waiting

	mu       watched.Lock
	paused   bool
	sleeping bool
	inside   map[*visit]bool
	samples  int // of those inside and waiting
}

// visit is one generation inside the gate.
type visit struct {
	ids    []string // of its prompts
	n      int      // samples
	cancel context.CancelCauseFunc
}

func newGate(e Engine, most int) *gate {
	return &gate{engine: e, most: most, inside: map[*visit]bool{}}
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
	g.mu.Wake()
	g.mu.Unlock()
	v := &visit{ids: ids, n: n}
	inner, cancel := context.WithCancelCause(ctx)
	v.cancel = cancel
	err := g.mu.Until(ctx, func() bool {
		if g.paused {
			return false
		}
		g.inside[v] = true
		g.mu.Wake()
		return true
	})
	if err != nil {
		cancel(err)
		g.mu.Change(func() { g.samples -= n })
		return nil, nil, err
	}
	return inner, v, nil
}

func (g *gate) leave(v *visit) {
	g.mu.Change(func() {
		delete(g.inside, v)
		g.samples -= v.n
	})
	v.cancel(nil)
}

// pause stops generation in one of vLLM's modes and returns when it stands:
// "abort" ends what is under way, "wait" lets it end, "keep" freezes it.
func (g *gate) pause(ctx context.Context, mode string) error {
	g.mu.Change(func() { g.paused = true })
	if mode == "keep" {
		g.engine.Freeze(true)
		return nil
	}
	if mode == "abort" {
		g.abort(nil)
	}
	g.engine.Freeze(false) // else what an earlier pause kept could not end
	return g.mu.Until(ctx, func() bool { return len(g.inside) == 0 })
}

func (g *gate) resume() {
	g.engine.Freeze(false)
	g.mu.Change(func() { g.paused = false })
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
