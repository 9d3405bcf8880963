package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/justrl/justrl/internal/watched"
)

// Deployment is one server to keep up to date.
type Deployment struct {
	// Name is its address, for errors and records; no two have the same.
	Name string
	// Publisher may also be a [CacheProber], a [Checksummer] and a [Watcher];
	// the canary then proves more.
	Publisher Publisher
	// Server scores with the server's own weights.
	Server Scorer
	// Down, when set, is why nothing else is known of the deployment: it begins
	// fenced, and [Bridge.Rejoin] brings what is missing.
	Down error
}

// Options are a Bridge's settings.
type Options struct {
	Deployments []Deployment
	// Trainer scores with the weights of the snapshot that is being loaded.
	Trainer Scorer
	// Probes are the fixed sequences, each of ≥ 2 tokens. A few hundred tokens
	// in all; some longer than a block of the servers' prefix caches (128
	// tokens on CPU), so that a stale cache shows.
	Probes [][]int32
	Limits Limits
	// Patience is how long an Advance that has no deployment left waits for one
	// to rejoin that has not lied; 0 does not wait.
	Patience time.Duration
	// GiveUp is closed when no Advance is to wait for anybody any longer, as the
	// run is interrupted; nil never is.
	GiveUp <-chan struct{}
	// OnLive is told that a deployment was seen to serve a version, OnFenced that
	// the bridge has fenced one, and why. They are called one after the other, in
	// the order in which it happened, before the method that found it returns;
	// they must return soon and must not call the Bridge. Nil tells nobody.
	OnLive   func(name string, version int64)
	OnFenced func(name string, err error)
	// Now is time.Now; tests may replace it. It is called from several goroutines.
	Now func() time.Time
}

// Bridge takes snapshots live in its deployments. A deployment is live or
// fenced: one that could not be loaded, or that the canary caught, or that
// somebody saw die ([Bridge.Fence]), is left alone until it rejoins, and the
// version goes on advancing as long as one is live, each proved by its own canary.
//
// Start, Check and Advance come one after the other; Fence and Rejoin may be
// called at any time, from other goroutines.
type Bridge struct {
	o       Options
	members []*member
	turn    sync.Mutex // of Start, Check and Advance

	mu      watched.Lock
	live    Snapshot
	started bool
	moving  bool     // Start or Advance is loading: what Rejoin must load is not decided
	target  Snapshot // what a deployment must serve to be live
	trainer logprobs // of target
	first   logprobs // the trainer's, at Start
}

// New sends nothing.
func New(o Options) (*Bridge, error) {
	if len(o.Deployments) == 0 || o.Trainer == nil {
		return nil, errors.New("bridge: needs a deployment and a trainer to compare it with")
	}
	tokens := 0
	for i, p := range o.Probes {
		if len(p) < 2 {
			return nil, fmt.Errorf("bridge: probe %d has %d tokens, needs two", i, len(p))
		}
		tokens += len(p) - 1
	}
	if tokens == 0 {
		return nil, errors.New("bridge: needs probes")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnLive == nil {
		o.OnLive = func(string, int64) {}
	}
	if o.OnFenced == nil {
		o.OnFenced = func(string, error) {}
	}
	o.Limits = o.Limits.withDefaults()
	b := &Bridge{o: o}
	for i, d := range o.Deployments {
		if d.Down == nil && (d.Publisher == nil || d.Server == nil) {
			return nil, fmt.Errorf("bridge: deployment %d (%s) needs a Publisher and a Server", i, d.Name)
		}
		if b.named(d.Name) != nil {
			return nil, fmt.Errorf("bridge: two deployments are called %s", d.Name)
		}
		b.members = append(b.members, newMember(d, o.Limits))
	}
	return b, nil
}

// Live is the snapshot that all live servers were last seen to serve; its zero value before Start.
func (b *Bridge) Live() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.live
}

// Start loads the first snapshot, whatever the servers served before, and
// measures the noise that later loads are judged by. The trainer must hold
// s's weights. It returns nil when at least one deployment was seen to serve s;
// the others are fenced, and their reports have the error. On an error nothing
// may be sampled before another Start.
func (b *Bridge) Start(ctx context.Context, s Snapshot) (Report, error) {
	b.turn.Lock()
	defer b.turn.Unlock()
	b.mu.Change(func() {
		b.started, b.moving = false, true
		for _, m := range b.members {
			m.seen, m.fenced, m.told = nil, m.down(), false
		}
	})
	defer b.settled()
	trainer, err := b.twice(ctx, b.o.Trainer)
	if err != nil {
		return Report{}, fmt.Errorf("score the probes with the trainer: %w", err)
	}
	b.mu.Change(func() { b.first = trainer[1] })
	return b.load(ctx, s, trainer[1], func(m *member) (ServerReport, error) { return b.start(ctx, m, s, trainer) })
}

// Advance takes s live: it loads it into every deployment that is live and
// returns nil when at least one of them has been seen to serve it; those that
// were not are fenced, and their reports have the error. The trainer must hold
// s's weights. Where none is left, and one may come back, it waits for
// Options.Patience: one that died, or was restarted since a Check has seen it. On an error the version does not advance, and the servers
// may serve either snapshot, or neither: nothing may be sampled before a Start.
// The report says for each deployment how far it came; it is empty if none was
// asked.
//
// The servers are scored before and after the load; after a [Bridge.Check],
// what that saw is taken for what was before.
func (b *Bridge) Advance(ctx context.Context, s Snapshot) (Report, error) {
	b.turn.Lock()
	defer b.turn.Unlock()
	before := b.Live()
	if err := b.mayAdvance(s); err != nil {
		return Report{}, err
	}
	trainer, err := b.score(ctx, b.o.Trainer, b.o.Probes)
	if err != nil {
		return Report{}, fmt.Errorf("score the probes with the trainer: %w", err)
	}
	b.mu.Change(func() { b.moving = true })
	defer b.settled()
	r, err := b.load(ctx, s, trainer, func(m *member) (ServerReport, error) { return b.advance(ctx, m, s, trainer) })
	r.Changed = s.SHA256 != before.SHA256
	return r, err
}

func (b *Bridge) mayAdvance(s Snapshot) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.started {
		return errors.New("bridge: Advance before Start")
	}
	if s.Version <= b.live.Version {
		return fmt.Errorf("bridge: version %d after version %d: versions must rise", s.Version, b.live.Version)
	}
	return nil
}

// settled lets those go on who wait to know what is to be live.
func (b *Bridge) settled() { b.mu.Change(func() { b.moving = false }) }
