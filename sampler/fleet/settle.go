package fleet

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// maxFailures is how often a request may be the one that fails, wherever it is
// asked for, before it is given up: what fails everywhere is its own doing.
const maxFailures = 5

// ask is a piece's goroutine.
func (f *Fleet) ask(p *piece) {
	r := p.ticket.request
	r.First, r.Count = p.first, p.count
	rollouts, err := p.member.Generator.Generate(p.ctx, r)
	p.cancel(nil)
	f.mu.Lock()
	tell := f.settle(p, rollouts, err)
	f.pump()
	f.mu.Unlock()
	tell.call()
}

// settle takes a piece's answer.
func (f *Fleet) settle(p *piece, rollouts []sampler.Rollout, err error) calls {
	delete(p.ticket.pieces, p)
	if p.dropped {
		return nil
	}
	t, m, now := p.ticket, p.member, time.Now()
	delete(m.pieces, p)
	m.carry(-p.count, now)
	if t.closed {
		return nil // whatever it is: it was cancelled
	}
	if err == nil {
		err = wrong(p.span, rollouts)
	}
	if err == nil {
		return f.accept(p, rollouts, now)
	}
	if t.ctx.Err() != nil {
		return nil // whoever asked has cancelled it, and will notice too
	}
	switch judge(err) {
	case refused:
		t.fail(&MemberError{Name: m.Name, Tries: 1, Err: err})
		return nil
	case pressure:
		m.count.Pressure++
		f.again(p)
		return f.press(p, err, now)
	case passing:
		f.blame(p, err)
		if m.strike(p.begun, now) {
			return f.fence(m, fmt.Errorf("%d failures in a row: %w", m.strikes, err))
		}
	case aborted:
		f.again(p)
		if m.strike(p.begun, now) {
			return f.fence(m, fmt.Errorf("it aborts all it is asked for: %w", err))
		}
	case doubt:
		f.blame(p, err)
		return f.fence(m, err)
	}
	return nil
}

// wrong is what a Generator must not return.
func wrong(s span, rollouts []sampler.Rollout) error {
	if len(rollouts) != s.count {
		return fmt.Errorf("generator returned %d rollouts of %d", len(rollouts), s.count)
	}
	for i, r := range rollouts {
		if r.Sample != s.first+i {
			return fmt.Errorf("generator returned sample %d in the place of sample %d", r.Sample, s.first+i)
		}
	}
	return nil
}

// accept keeps what p's member gave; samples that it aborted wait again.
func (f *Fleet) accept(p *piece, rollouts []sampler.Rollout, now time.Time) calls {
	t, m := p.ticket, p.member
	longest, got := 0, 0
	for i, r := range rollouts {
		if r.FinishReason == sampler.FinishAbort {
			f.againSpan(p, span{p.first + i, 1})
			continue
		}
		r.Server = m.Name
		t.rollouts[r.Sample-t.request.First] = r
		got++
		m.count.Tokens += int64(len(r.TokenIDs))
		longest = max(longest, len(r.TokenIDs))
	}
	m.count.Samples += int64(got)
	t.missing -= got
	if t.missing == 0 {
		close(t.done)
		t.closed = true
	}
	if got < p.count {
		if m.strike(p.begun, now) {
			return f.fence(m, fmt.Errorf("it aborts all it is asked for: %w", sampler.ErrAborted))
		}
		return nil
	}
	m.wellAgain()
	took := now.Sub(p.begun)
	m.pace.observe(longest, took)
	f.compare()
	if m.observe(p, longest, took, f.mayTry()) {
		for _, o := range f.members {
			o.adopt(m.base)
		}
	}
	return f.finished(p, longest, took)
}

// mayTry tells whether one more member may try a higher limit.
func (f *Fleet) mayTry() bool {
	trying := 0
	for _, m := range f.members {
		if m.trying() {
			trying++
		}
	}
	return trying < max(1, len(f.members)/8)
}

// press makes the member of p take less, for as long as it wants.
func (f *Fleet) press(p *piece, err error, now time.Time) calls {
	m := p.member
	if m.refused.IsZero() {
		m.refused = now
	}
	if now.Sub(m.refused) > f.o.Patience && m.running == 0 {
		return f.fence(m, fmt.Errorf("it has refused everything for %s: %w", now.Sub(m.refused).Round(time.Second), err))
	}
	if wait := min(wished(err), f.o.Patience); m.cut(p.begun, now) || wait > 0 {
		m.rest(wait, now)
	}
	return nil
}

// wished is the wait that the server asked for; 0 if it did not.
func wished(err error) time.Duration {
	var status *endpoint.StatusError
	if errors.As(err, &status) {
		return status.RetryAfter
	}
	return 0
}

// blame is again, and fails the ticket if that was once too often. Servers that go
// together are one failure of all that was under way at them, and where nobody
// was there to take the request it has failed nowhere.
func (f *Fleet) blame(p *piece, err error) {
	t := p.ticket
	if p.failures == t.failures && !nobody(err) {
		if t.failures++; t.failures >= maxFailures {
			t.fail(&MemberError{Name: p.member.Name, Tries: t.failures, Err: err})
			return
		}
	}
	f.again(p)
}

// nobody tells whether no server can have seen the request that failed with err.
func nobody(err error) bool {
	return endpoint.NotSent(err) || endpoint.StatusOf(err) == http.StatusServiceUnavailable
}

// again queues a piece's samples, before everything else.
func (f *Fleet) again(p *piece) { f.againSpan(p, p.span) }

func (f *Fleet) againSpan(p *piece, s span) {
	if p.ticket.closed {
		return
	}
	p.member.count.Requeued += int64(s.count)
	p.ticket.late, p.ticket.last = true, nil
	f.enqueue(p.ticket, s)
}

func (t *ticket) fail(err error) {
	if t.closed {
		return
	}
	t.err, t.closed = err, true
	close(t.done)
}
