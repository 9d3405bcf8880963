// Package fleet makes one [sampler.Generator] of many servers.
//
// It knows which server serves which version of the weights because it is
// told ([Fleet.Admit]), and asks only those: a server whose answers are in
// doubt is fenced at once and stays out until it is admitted again. Who loads
// weights into a fenced server, and proves them, is somebody else's business
// (the bridge's); the two meet in [Options.OnFenced], [Fleet.Fence] and
// [Fleet.Admit]. A server that is asked for nothing while it restarts with
// other weights leaves no trace here: that is for its keeper to find.
//
// # Who gets what
//
// All that is asked for waits in one queue, the longest expected first
// (longest processing time first: Graham, Bounds on Multiprocessing Timing
// Anomalies, 1969); what has to be asked for again goes before the rest. A
// member takes from it whenever it has room, so none idles while anything
// waits, and none holds work that another could do.
//
// A request to a member is for samples of one row. While more waits than the
// members have room for it is for one sample: a request of eight ends with its
// longest, and until then would hold the room of the seven that have ended. A
// row's samples still go to one member where it has room, for the sake of its
// prefix cache. (A member that serves a version alone gets whole rows: there is
// nobody to be fair to, and it may have no such cache.)
//
// When there is room for all, each member gets its share of what there is, by what
// it bears and by how fast its tokens came until now: whole rows if that is its
// share, and parts of them towards the end of a batch, when there are more idle
// members than rows. The longest rows go to the fastest members, so that a batch
// does not end with a slow one at work on them. Sample j draws from the stream
// seed + j wherever it is asked for, so that is exact.
//
// How much room a member has is described at [limiter].
//
// # Deliberately absent
//
// Asking two members for one sample to take the faster: on real servers they
// differ in the last bits, and keeping the one that ends first prefers short
// answers. For the same reason nothing is ever given up for being slow.
package fleet

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/justrl/justrl/sampler"
)

var _ sampler.Generator = (*Fleet)(nil)

// Defaults of [Options].
const (
	DefaultPatience        = 3 * time.Minute
	DefaultMaxInFlight     = 1024
	DefaultStragglerFactor = 3.0
)

// ErrNotLoaded is why a member is out that was never admitted.
var ErrNotLoaded = errors.New("not loaded yet")

// Member is one server of a fleet.
type Member struct {
	// Name is the server's as errors, records and [sampler.Rollout.Server] have
	// it, its URL for example; unique in the fleet.
	Name string
	// Generator samples from it. It must not try again by itself (Tries 1 of
	// endpoint.Retry): a server that came back after a failure may have other
	// weights, and only the fleet knows to keep out of it. A bound on one
	// request (endpoint.Retry's Attempt) is the Generator's too; the time in
	// the fleet's queue does not count against it.
	Generator sampler.Generator
}

// Options are a Fleet's settings.
type Options struct {
	// Members are the servers, at least one; all begin fenced, with [ErrNotLoaded].
	Members []Member
	// Patience is how long Generate waits for a member that serves its version
	// when none does; 0 is 3 minutes. It begins anew each time that there was
	// one. It is also how long a member may refuse everything (429) before it is fenced.
	Patience time.Duration
	// MaxInFlight is the most samples under way at one member; 0 is 1024. How
	// many there are within it follows from how the member bears them.
	MaxInFlight int
	// OnFenced, when set, is told once of every fencing: of a member that was
	// admitted and is not any more, whoever fenced it. It is called without a
	// lock held, from the goroutine that found out, and must not block; it may
	// call every method of the Fleet but Generate.
	OnFenced func(name string, err error)
	// OnStraggler, when set, is told once of every request that takes over
	// StragglerFactor times as long as others of its length. The request goes
	// on. It is called like OnFenced.
	OnStraggler func(Straggler)
	// StragglerFactor is that factor; 0 is 3.
	StragglerFactor float64
}

// Fleet is many servers as one [sampler.Generator]. It is safe for concurrent
// use and has nothing to close: no request outlives the Generate that needed it.
type Fleet struct {
	o Options

	mu      sync.Mutex
	members []*member
	byName  map[string]*member
	queues  map[int64]*queue // by the version that is asked for
	waiting int              // samples in all queues
	arrived int64            // tickets so far
	changed chan struct{}    // closed, and made anew, when a member is admitted or fenced
	wake    *time.Timer      // pumps at wakeAt
	wakeAt  time.Time        // zero when nothing is due
	recent  recent
}

// New makes a Fleet; it sends nothing and starts nothing.
func New(o Options) (*Fleet, error) {
	if len(o.Members) == 0 {
		return nil, errors.New("fleet: no server")
	}
	if o.Patience < 0 || o.MaxInFlight < 0 || o.StragglerFactor < 0 {
		return nil, fmt.Errorf("fleet: patience %s, samples in flight %d or factor of stragglers %g is negative", o.Patience, o.MaxInFlight, o.StragglerFactor)
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = DefaultMaxInFlight
	}
	if o.StragglerFactor == 0 {
		o.StragglerFactor = DefaultStragglerFactor
	}
	f := &Fleet{o: o, byName: map[string]*member{}, queues: map[int64]*queue{}, changed: make(chan struct{})}
	for i, m := range o.Members {
		switch {
		case m.Name == "":
			return nil, fmt.Errorf("fleet: server %d has no name", i)
		case m.Generator == nil:
			return nil, fmt.Errorf("fleet: server %s has no generator", m.Name)
		case f.byName[m.Name] != nil:
			return nil, fmt.Errorf("fleet: server %s is named twice", m.Name)
		}
		added := newMember(m, o.MaxInFlight)
		f.members = append(f.members, added)
		f.byName[m.Name] = added
	}
	return f, nil
}

// Admit says that the named member serves version (≥ 1) from now on: it was
// loaded, and a canary has seen it. Waiting requests of that version, or of
// any, go to it at once. What is under way at it under another version is
// cancelled and asked for again. It does not block; an unknown name panics.
func (f *Fleet) Admit(name string, version int64) {
	m := f.named(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.why == nil && m.version == version {
		return
	}
	if m.why == nil {
		f.recall(m)
	}
	m.admit(version)
	f.compare()
	f.hasChanged()
	f.pump()
}

// Fence takes the named member out until Admit: nothing more is asked of it,
// and when Fence returns the requests under way at it are cancelled and their
// samples queued for others under the same seeds. An answer of it that still
// comes is dropped. It does not wait for the cancelled requests to end on the
// server. OnFenced is told of it before Fence returns. Fencing a fenced member
// only changes why it is out, and is no fencing. An unknown name panics.
func (f *Fleet) Fence(name string, err error) {
	m := f.named(name)
	f.mu.Lock()
	tell := f.fence(m, err)
	f.mu.Unlock()
	tell.call()
}

// fence is [Fleet.Fence] with the lock held; what it returns is to be called without.
func (f *Fleet) fence(m *member, err error) calls {
	if err == nil {
		err = errors.New("fenced without a reason")
	}
	if m.why != nil {
		m.why = err
		return nil
	}
	f.recall(m)
	m.fence(err)
	f.hasChanged()
	f.pump()
	if f.o.OnFenced == nil {
		return nil
	}
	return calls{func() { f.o.OnFenced(m.Name, err) }}
}

// recall cancels what is under way at m and queues it again.
func (f *Fleet) recall(m *member) {
	for p := range m.pieces {
		p.dropped = true
		p.cancel(errRecalled)
		f.again(p)
	}
	m.release()
}

var errRecalled = errors.New("the server was fenced")

func (f *Fleet) hasChanged() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// named needs no lock, and must be called without: it may panic, and who recovers goes on with the fleet.
func (f *Fleet) named(name string) *member {
	m := f.byName[name]
	if m == nil {
		panic(fmt.Sprintf("fleet: there is no server %q", name))
	}
	return m
}

// Stats are the members', in the order in which they were given.
func (f *Fleet) Stats() []MemberStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats()
}

func (f *Fleet) stats() []MemberStats {
	out := make([]MemberStats, len(f.members))
	for i, m := range f.members {
		out[i] = m.stats()
	}
	return out
}

// calls are what must be called once the lock is let go.
type calls []func()

func (c calls) call() {
	for _, f := range c {
		f()
	}
}
