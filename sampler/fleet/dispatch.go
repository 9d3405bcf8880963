package fleet

import (
	"context"
	"math"
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
	free, running, serving, busy, capacity := 0, 0, 0, f.busy(), 0.0
	var able []*member
	for _, m := range f.members {
		if !m.serves(t.request.Version) {
			continue
		}
		serving++
		if room := m.room(now, busy); room > 0 {
			able = append(able, m)
			free, running, capacity = free+room, running+m.running, capacity+m.capacity()
		}
	}
	if len(able) == 0 {
		return nil, 0
	}
	// The longest come first, and had better go to the fastest.
	pick := func(may func(*member) bool) (best *member) {
		for _, m := range able {
			if may(m) && (best == nil || m.speed > best.speed || m.speed == best.speed && idler(m, best)) {
				best = m
			}
		}
		return best
	}
	switch {
	case serving == 1:
		return able[0], free
	case f.waiting > free:
		best = pick(func(*member) bool { return true })
		if l := t.last; l != nil && l.speed >= best.speed && l.serves(t.request.Version) && l.room(now, busy) > 0 {
			best = l
		}
		return best, 1
	}
	// Room for all: what each would have if everything were shared out by what they can bear, and how fast.
	share := func(m *member) int { return int(math.Ceil(m.capacity() * float64(running+f.waiting) / capacity)) }
	if best = pick(func(m *member) bool { return m.running < share(m) }); best == nil {
		best = pick(func(*member) bool { return true })
	}
	return best, min(best.room(now, busy), max(1, share(best)-best.running))
}

// capacity is in what proportion work is shared out.
func (m *member) capacity() float64 { return float64(m.proven()) * m.speed }

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
