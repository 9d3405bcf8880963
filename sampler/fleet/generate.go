package fleet

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/justrl/justrl/sampler"
)

// ticket is one call of Generate; the fleet's lock guards it.
type ticket struct {
	request  sampler.Request
	ctx      context.Context
	expected int   // tokens
	arrived  int64 // order of arrival
	late     bool  // something of it has to be asked for again
	place    int   // in its queue; -1 outside
	waiting  []span
	last     *member // that it was last given to

	rollouts []sampler.Rollout
	missing  int
	failures int   // of its own requests, in ways that may be its doing
	err      error // why it failed
	closed   bool  // it is answered, failed or nobody waits for it any more
	done     chan struct{}

	pieces map[*piece]struct{} // under way
	work   sync.WaitGroup      // their goroutines, those of dropped pieces too
}

// piece is one request to a member: a span of a ticket's samples.
type piece struct {
	span
	ticket   *ticket
	member   *member
	ctx      context.Context
	cancel   context.CancelCauseFunc
	begun    time.Time
	busy     bool // when it began, more waited than was under way
	failures int  // the ticket's, when it began
	dropped  bool // its answer is not wanted any more; its samples were queued again
	reported bool // as a straggler
}

// Generate implements [sampler.Generator]: the samples of r in order, each
// with the name of the member that gave it. A member is asked only while it is
// admitted at r.Version (0 is any), and its answer counts only if it still is
// when the answer comes. A member that fails is fenced, and what it was asked
// for is asked of others under the same seeds; an error that is the request's
// own doing fails the request alone. Where no member serves the version it
// waits as long as [Options.Patience] says, then fails with an [*OutError].
func (f *Fleet) Generate(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("fleet: request: %w", err)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &ticket{
		request: r, ctx: work, place: -1, expected: r.Expected, missing: r.Count,
		rollouts: make([]sampler.Rollout, r.Count), done: make(chan struct{}), pieces: map[*piece]struct{}{},
	}
	if t.expected <= 0 {
		t.expected = r.Params.MaxTokens // what may be long had better begin early
	}
	f.arrive(t)
	err := f.await(ctx, t)
	f.close(t)
	cancel()
	t.work.Wait()
	if err != nil {
		return nil, err
	}
	return t.rollouts, nil
}

// gathering is how long the first to arrive waits for others: rows of a batch
// arrive one by one, and whom to give how much depends on how many there are.
const gathering = 2 * time.Millisecond

func (f *Fleet) arrive(t *ticket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.arrived++
	t.arrived = f.arrived
	f.enqueue(t, span{t.request.First, t.request.Count})
	f.wakeIn(gathering)
}

// close ends a ticket's stay: nothing of it waits, and what is under way is nobody's.
func (f *Fleet) close(t *ticket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.closed = true
	f.drop(t)
}

// lookAround is how often requests under way are looked at for stragglers.
const lookAround = 10 * time.Second

// await blocks until t is answered or has failed, ctx ends, or no member has
// served its version for as long as patience lasts.
func (f *Fleet) await(ctx context.Context, t *ticket) error {
	tick := time.NewTicker(lookAround)
	defer tick.Stop()
	patience := time.NewTimer(f.o.Patience)
	defer patience.Stop()
	counting := true
	for {
		served, changed := f.served(t.request.Version)
		switch {
		case served && counting:
			patience.Stop()
			counting = false
		case !served && !counting:
			patience.Reset(f.o.Patience)
			counting = true
		}
		select {
		case <-t.done:
			return t.err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-tick.C:
			f.overdue(t)
		case <-patience.C:
			counting = false
			if err := f.out(t); err != nil {
				return err
			}
		}
	}
}

// served tells whether a member serves version, and what to wait on for that to change.
func (f *Fleet) served(version int64) (bool, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.serves(version), f.changed
}

func (f *Fleet) serves(version int64) bool {
	for _, m := range f.members {
		if m.serves(version) {
			return true
		}
	}
	return false
}

// out is why t can be served by nobody; nil if it can, or is.
func (f *Fleet) out(t *ticket) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	version, now := t.request.Version, time.Now()
	if t.missing == 0 || f.serves(version) {
		return nil
	}
	for _, m := range f.members {
		if (version == 0 || m.version == version) && now.Sub(m.since) < f.o.Patience {
			return nil // it was there, for too short a time to be seen here
		}
	}
	return &OutError{Version: version, Waited: f.o.Patience, At: now, Members: f.stats()}
}
