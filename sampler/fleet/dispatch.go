package fleet

import (
	"context"
	"slices"
	"time"
)

// pump gives what waits to members with room, until nothing waits or nobody
// has room for it. It is called, with the lock held, whenever either may have changed.
func (f *Fleet) pump() {
	if f.waiting == 0 {
		return
	}
	now := time.Now()
	for _, q := range f.inOrder() {
		for len(*q) > 0 {
			t := (*q)[0]
			m, n := f.choose(t, now)
			if m == nil {
				break
			}
			f.begin(t, m, f.take(t, n), now)
		}
	}
	f.wakeForRested(now)
}

// inOrder are the queues, that with the most urgent ticket first. There are
// several only when one fleet is asked for several versions.
func (f *Fleet) inOrder() []*queue {
	out := make([]*queue, 0, len(f.queues))
	for _, q := range f.queues {
		out = append(out, q)
	}
	slices.SortFunc(out, func(a, b *queue) int {
		if before((*a)[0], (*b)[0]) {
			return -1
		}
		return 1
	})
	return out
}

// choose is whom to ask for how many samples of t; nil if nobody has room.
func (f *Fleet) choose(t *ticket, now time.Time) (best *member, n int) {
	free, limits, running, serving, busy := 0, 0, 0, 0, f.busy()
	for _, m := range f.members {
		room := 0
		if m.serves(t.request.Version) {
			serving++
			room = m.room(now, busy)
		}
		if room == 0 {
			continue
		}
		free, limits, running = free+room, limits+m.proven(), running+m.running
		if best == nil || idler(m, best) {
			best = m
		}
	}
	switch {
	case best == nil:
		return nil, 0
	case serving == 1:
		return best, free
	case f.waiting > free:
		if l := t.last; l != nil && l.serves(t.request.Version) && l.room(now, busy) > 0 {
			best = l
		}
		return best, 1
	}
	// Room for all: what best would have if everything were shared out by the limits.
	share := (best.proven()*(running+f.waiting) + limits - 1) / limits
	return best, min(best.room(now, busy), max(1, share-best.running))
}

// idler tells whether m has a smaller part of its limit under way than o.
func idler(m, o *member) bool {
	if a, b := m.running*o.proven(), o.running*m.proven(); a != b {
		return a < b
	}
	return m.count.Requests < o.count.Requests
}

// begin asks m for a span of t.
func (f *Fleet) begin(t *ticket, m *member, s span, now time.Time) {
	p := &piece{span: s, ticket: t, member: m, begun: now, busy: f.busy(), failures: t.failures}
	p.ctx, p.cancel = context.WithCancelCause(t.ctx)
	t.last = m
	t.pieces[p] = struct{}{}
	m.pieces[p] = struct{}{}
	m.carry(s.count, now)
	m.count.Requests++
	t.work.Go(func() { f.ask(p) })
}

// busy tells whether at least as much waits as is under way: only then does a
// member's limit decide over what it is given, and there is a use in knowing a better one.
func (f *Fleet) busy() bool {
	running := 0
	for _, m := range f.members {
		running += m.running
	}
	return f.waiting >= running
}

// wakeForRested pumps again when the first member that rests has rested.
func (f *Fleet) wakeForRested(now time.Time) {
	if f.waiting == 0 {
		return
	}
	for _, m := range f.members {
		if m.why == nil && m.resting.After(now) {
			f.wakeIn(m.resting.Sub(now))
		}
	}
}

// wakeIn pumps after d, unless it is due earlier anyway.
func (f *Fleet) wakeIn(d time.Duration) {
	at := time.Now().Add(d)
	if !f.wakeAt.IsZero() && !at.Before(f.wakeAt) {
		return
	}
	f.wakeAt = at
	if f.wake == nil {
		f.wake = time.AfterFunc(d, f.woken)
		return
	}
	f.wake.Reset(d)
}

func (f *Fleet) woken() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wakeAt = time.Time{}
	f.pump()
}
