package bridge

import (
	"context"
	"fmt"
)

// Fence takes a deployment out that somebody saw die. Nobody is told: OnFenced
// is for what the bridge itself finds. A name that it does not know, and one
// that is fenced already, change nothing.
func (b *Bridge) Fence(name string, err error) {
	b.mu.Change(func() {
		if m := b.named(name); m != nil && m.fenced == nil {
			m.fenced, m.told = err, true
		}
	})
}

// Rejoin brings a fenced deployment back: it loads the snapshot that is live
// and proves it, with what the trainer scored when that was published. d.Name
// says which it is; d's Publisher and Server take the place of the old ones. It
// waits while Start or Advance decide what is to be live, and takes what they
// decided on. It returns nil when the deployment is live, which OnLive was told;
// on an error, a [*CanaryError] perhaps, it stays fenced. At most one call for a
// deployment at a time.
//
// What a server did while it was fenced is unknown, and it may be another
// process by now: it was proved if its log-probs agree with the trainer's as
// they did at the start, if its checksums are those that it or a sibling showed
// of the same version, and if it lies where the trainer is now, and not where
// it was at the start of the run: there a server is whose own weights stayed.
// What of these cannot be told yet, the next loads tell over the sum of the changes.
func (b *Bridge) Rejoin(ctx context.Context, d Deployment) error {
	m := b.named(d.Name)
	if m == nil || d.Publisher == nil || d.Server == nil {
		return fmt.Errorf("bridge: no deployment %q, or without a Publisher and a Server", d.Name)
	}
	for {
		var goal goal
		isLive := false
		err := b.mu.Until(ctx, func() bool {
			isLive = m.fenced == nil
			goal.Snapshot, goal.trainer, goal.first, goal.sums = b.target, b.trainer, b.first, b.expected(m, b.target.Version)
			return b.started && !b.moving
		})
		if err != nil {
			return context.Cause(ctx)
		}
		if isLive {
			return nil
		}
		var r ServerReport
		if err := m.alone(ctx, func() (err error) {
			b.mu.Change(func() { m.Publisher, m.Server = d.Publisher, d.Server })
			r, err = b.rejoin(ctx, m, goal)
			return err
		}); err != nil {
			return err
		}
		b.mu.Change(func() {
			if b.moving || !b.started || b.target != goal.Snapshot {
				return // a newer one is to be live
			}
			r.complete(m.Name, nil)
			m.fenced, m.told, m.report, b.live = nil, false, r, b.target
			b.o.OnLive(m.Name, b.target.Version)
			isLive = true
		})
		if isLive {
			return nil
		}
	}
}

// goal is what a deployment must be seen to serve.
type goal struct {
	Snapshot
	trainer logprobs // of the snapshot
	first   logprobs // the trainer's, at the start of the run
	sums    *sums    // that the server must show; nil if unknown
}

func (b *Bridge) rejoin(ctx context.Context, m *member, g goal) (r ServerReport, err error) {
	d := m.Deployment
	began := b.o.Now()
	if w, ok := d.Publisher.(Watcher); ok { // says, once, what is known: that it was restarted
		if err := w.StillLive(ctx); err != nil && !lied(err) {
			return r, err
		}
	}
	if m.broken { // and perhaps paused: it would not answer before it has whole weights
		if err := m.load(ctx, g.Snapshot); err != nil {
			return r, err
		}
	}
	before, err := b.observe(ctx, d)
	if err == nil {
		err = b.fillCache(ctx, d)
	}
	if err != nil {
		return r, err
	}
	loading := b.o.Now()
	if err := m.load(ctx, g.Snapshot); err != nil {
		return r, err
	}
	loaded := b.o.Now()
	cache, err := b.cacheDiff(ctx, d)
	if err != nil {
		return r, err
	}
	first, err := b.observe(ctx, d)
	if err != nil {
		return r, err
	}
	second, err := b.score(ctx, d.Server, b.o.Probes)
	if err != nil {
		return r, fmt.Errorf("score the probes with server %s: %w", d.Name, err)
	}
	r, err = m.canary.again(g.Snapshot, returned{
		goal: g, server: [2]logprobs{first.scores, second}, before: before.checksums, after: first.checksums, cache: cache,
	})
	if err == nil {
		m.seen = nil
		b.mu.Change(func() { m.sums, m.sumsOf = first.checksums, g.Version })
	}
	r.LoadS = loaded.Sub(loading).Seconds()
	r.CanaryS = b.o.Now().Sub(began).Seconds() - r.LoadS
	return r, err
}
