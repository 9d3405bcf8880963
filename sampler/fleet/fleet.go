// Package fleet makes one [sampler.Generator] of many servers.
//
// It knows which server serves which version of the weights because it is
// told ([Fleet.Admit]), and asks only those: a server whose answers are in
// doubt is fenced at once and stays out until it is admitted again. Who loads
// weights into a fenced server, and proves them, is somebody else's business
// (the bridge's); the two meet in [Options.OnFenced], [Fleet.Fence] and
// [Fleet.Admit].
package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/justrl/justrl/sampler"
)

var _ sampler.Generator = (*Fleet)(nil)

// Defaults of [Options].
const (
	DefaultPatience    = 3 * time.Minute
	DefaultMaxInFlight = 1024
)

// Member is one server of a fleet.
type Member struct {
	// Name is the server's as errors, records and [sampler.Rollout.Server] have
	// it, its URL for example; unique in the fleet.
	Name string
	// Generator samples from it. It must not try again by itself (Tries 1 of
	// endpoint.Retry): a server that came back after a failure may have other
	// weights, and only the fleet knows how to keep out of it.
	Generator sampler.Generator
}

// Options are a Fleet's settings.
type Options struct {
	// Members are the servers, at least one; all begin fenced, "not loaded yet".
	Members []Member
	// Patience is how long Generate waits for a member that serves its version
	// when none does; 0 is 3 minutes. It begins anew each time that there was one.
	Patience time.Duration
	// MaxInFlight is the most samples under way at one member; 0 is 1024. How
	// many there are within it follows from how the member bears them.
	MaxInFlight int
	// OnFenced, when set, is told once of every fencing: of a member that was
	// admitted and is not any more, whoever fenced it. It is called without a
	// lock held, from the goroutine that found out, and must not block; it may
	// call the Fleet's methods except Generate.
	OnFenced func(name string, err error)
	// OnStraggler, when set, is told once of every request that takes over
	// StragglerFactor times as long as others of its length. The request goes
	// on. It is called like OnFenced.
	OnStraggler func(Straggler)
	// StragglerFactor is that factor; 0 is 3.
	StragglerFactor float64
}

// Straggler is a request that takes longer than it should.
type Straggler struct {
	Name string // the member's
	// Seed, First and Count say which samples it asked for.
	Seed         int64
	First, Count int
	Took         time.Duration // so far, or in all if it is Done
	Usual        time.Duration // what the median request takes for as many tokens
	Done         bool
}

// MemberStats is what a member does and has done.
type MemberStats struct {
	Name string `json:"name"`
	// Version is that of the weights which it serves, or last served; 0 before it was first admitted.
	Version int64 `json:"version"`
	// Fenced tells that nothing is asked of it; Since and Why say since when
	// and why. Why is nil where it is not.
	Fenced bool      `json:"fenced"`
	Since  time.Time `json:"since"` // of its last fencing or admission
	Why    error     `json:"-"`
	// InFlight is the samples under way, Limit the most at present.
	InFlight int `json:"in_flight"`
	Limit    int `json:"limit"`
	// What follows counts since the fleet began.
	Requests   int64 `json:"requests"`   // sent to it
	Samples    int64 `json:"samples"`    // got from it and returned
	Tokens     int64 `json:"tokens"`     // of those
	Requeued   int64 `json:"requeued"`   // samples asked of it that had to be asked for again
	Pressure   int64 `json:"pressure"`   // times that it asked for less (429, 503 with Retry-After)
	Stragglers int64 `json:"stragglers"` // requests reported as such
	Fencings   int64 `json:"fencings"`
}

// Fleet is many servers as one [sampler.Generator]. It is safe for concurrent
// use and has nothing to close: no goroutine outlives the Generate that needed it.
type Fleet struct {
	o Options

	mu      sync.Mutex
	members []*member
	byName  map[string]*member
}

// ErrNotLoaded is why a member is out that was never admitted.
var ErrNotLoaded = errors.New("not loaded yet")

type member struct {
	Member
	stats MemberStats
}

// New makes a Fleet; it sends nothing and starts nothing.
func New(o Options) (*Fleet, error) {
	if len(o.Members) == 0 {
		return nil, errors.New("fleet: no server")
	}
	f := &Fleet{o: o, byName: map[string]*member{}}
	for _, m := range o.Members {
		if m.Name == "" || m.Generator == nil || f.byName[m.Name] != nil {
			return nil, fmt.Errorf("fleet: server %q: no name, no generator, or named twice", m.Name)
		}
		member := &member{Member: m, stats: MemberStats{Name: m.Name, Fenced: true, Since: time.Now(), Why: ErrNotLoaded}}
		f.members = append(f.members, member)
		f.byName[m.Name] = member
	}
	return f, nil
}

// Admit says that the named member serves version (≥ 1) from now on: it was
// loaded, and a canary has seen it. Waiting requests of that version, or of
// any, go to it at once. What is under way at it under another version is
// cancelled and asked for elsewhere. It does not block; an unknown name panics.
func (f *Fleet) Admit(name string, version int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.byName[name]
	m.stats.Fenced, m.stats.Version, m.stats.Why, m.stats.Since = false, version, nil, time.Now()
}

// Fence takes the named member out until Admit: nothing more is asked of it,
// and when Fence returns the requests under way at it are cancelled and their
// samples queued for others under the same seeds. An answer of it that still
// comes is dropped. It does not wait for the cancelled requests to end on the
// server. Fencing a fenced member changes only why it is out. OnFenced is told
// of it, before Fence returns. An unknown name panics.
func (f *Fleet) Fence(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.byName[name]
	m.stats.Fenced, m.stats.Why = true, err
}

// Generate implements [sampler.Generator]: the samples of r, each with the
// name of the member that gave it, in order. Only members that were admitted
// at r.Version are asked (0 is any), from when they are asked until they have
// answered. A member that fails is fenced, and what it was asked for is asked
// of others under the same seeds. Where no member serves the version it waits
// as long as [Options.Patience] says, then fails with an [*OutError].
func (f *Fleet) Generate(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	return nil, errors.New("fleet: not there yet")
}

// Stats are the members', in the order in which they were given.
func (f *Fleet) Stats() []MemberStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]MemberStats, len(f.members))
	for i, m := range f.members {
		out[i] = m.stats
	}
	return out
}

// OutError says that no member serves what was asked for.
type OutError struct {
	Version int64         // that was asked for; 0 is any
	Waited  time.Duration // for an admission
	Members []MemberStats // each with why it is out
}

func (e *OutError) Error() string { return "fleet: no server" }
