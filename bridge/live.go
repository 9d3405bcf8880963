package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// Deployment is one server to keep up to date.
type Deployment struct {
	// Name is its address, for errors and records.
	Name string
	// Publisher may also be a [CacheProber], a [Checksummer] and a [Watcher];
	// the canary then proves more.
	Publisher Publisher
	// Server scores with the server's own weights.
	Server Scorer
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
	// Now is time.Now; tests may replace it. It is called from several goroutines.
	Now func() time.Time
}

// Bridge takes snapshots live in all deployments. Its version advances only
// when the canary of each has passed. Not safe for concurrent use.
type Bridge struct {
	o        Options
	canaries []canary
	live     Snapshot
	started  bool
	seen     []observation // by the last Check, until the servers are loaded again; nil without one
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
	o.Limits = o.Limits.withDefaults()
	b := &Bridge{o: o}
	for i, d := range o.Deployments {
		if d.Publisher == nil || d.Server == nil {
			return nil, fmt.Errorf("bridge: deployment %d (%s) needs a Publisher and a Server", i, d.Name)
		}
		b.canaries = append(b.canaries, canary{server: d.Name, limits: o.Limits})
	}
	return b, nil
}

// Live is the snapshot that all servers were last seen to serve; its zero value before Start.
func (b *Bridge) Live() Snapshot { return b.live }

// Start loads the first snapshot, whatever the servers served before, and
// measures the noise that later loads are judged by. The trainer must hold
// s's weights. On an error nothing may be sampled before another Start.
func (b *Bridge) Start(ctx context.Context, s Snapshot) (Report, error) {
	b.started, b.seen = false, nil
	trainer, err := b.twice(ctx, b.o.Trainer)
	if err != nil {
		return Report{}, fmt.Errorf("score the probes with the trainer: %w", err)
	}
	r, err := b.each(ctx, s, func(ctx context.Context, i int) (ServerReport, error) { return b.start(ctx, i, s, trainer) })
	if err == nil {
		b.live, b.started = s, true
	}
	return r, err
}

// Advance takes s live: it loads it into every deployment and returns nil only
// when each has been seen to serve it. The trainer must hold s's weights. On
// an error the version does not advance, and the servers may serve either
// snapshot, or neither: nothing may be sampled before a Start. The report says
// for each deployment how far it came; it is empty if none was asked.
//
// The servers are scored before and after the load; after a [Bridge.Check],
// what that saw is taken for what was before.
func (b *Bridge) Advance(ctx context.Context, s Snapshot) (Report, error) {
	if !b.started {
		return Report{}, errors.New("bridge: Advance before Start")
	}
	if s.Version <= b.live.Version {
		return Report{}, fmt.Errorf("bridge: version %d after version %d: versions must rise", s.Version, b.live.Version)
	}
	trainer, err := b.score(ctx, b.o.Trainer, b.o.Probes)
	if err != nil {
		return Report{}, fmt.Errorf("score the probes with the trainer: %w", err)
	}
	r, err := b.each(ctx, s, func(ctx context.Context, i int) (ServerReport, error) { return b.advance(ctx, i, s, trainer) })
	r.Changed = s.SHA256 != b.live.SHA256
	b.started, b.seen = err == nil, nil
	if err == nil {
		b.live = s
	}
	return r, err
}

// each runs do for all deployments and reports what came of each.
func (b *Bridge) each(ctx context.Context, s Snapshot, do func(context.Context, int) (ServerReport, error)) (Report, error) {
	r := Report{Version: s.Version, Changed: true, Servers: make([]ServerReport, len(b.o.Deployments))}
	err := b.all(func(i int) (err error) {
		r.Servers[i], err = do(ctx, i)
		r.Servers[i].complete(b.o.Deployments[i].Name, err)
		return err
	})
	r.Passed = err == nil
	return r, err
}

// all runs do for all deployments at once and waits for all: one that fails
// does not stop another in the middle of a load. The errors are joined in the
// order of the deployments.
func (b *Bridge) all(do func(i int) error) error {
	errs := make([]error, len(b.o.Deployments))
	var g errgroup.Group
	for i := range b.o.Deployments {
		g.Go(func() error {
			errs[i] = do(i)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	return errors.Join(errs...)
}

func (b *Bridge) start(ctx context.Context, i int, s Snapshot, trainer [2]logprobs) (ServerReport, error) {
	d, c := b.o.Deployments[i], &b.canaries[i]
	began := b.o.Now()
	if err := d.Publisher.Load(ctx, s); err != nil {
		return ServerReport{}, err
	}
	loaded := b.o.Now()
	server, err := b.twice(ctx, d.Server)
	if err != nil {
		return ServerReport{}, fmt.Errorf("score the probes with server %s: %w", d.Name, err)
	}
	r, err := c.begin(s, server, trainer)
	if err == nil {
		if err = b.fillCache(ctx, d); err == nil {
			r.CacheDiffMax, err = b.cacheDiff(ctx, d)
		}
		if r.CacheDiffMax != nil {
			err = c.beginCache(s, *r.CacheDiffMax)
		}
	}
	r.LoadS, r.CanaryS = loaded.Sub(began).Seconds(), b.o.Now().Sub(loaded).Seconds()
	return r, err
}

// before is what server i answers with the weights that a load will replace.
func (b *Bridge) before(ctx context.Context, i int) (observation, error) {
	if b.seen != nil {
		return b.seen[i], nil
	}
	return b.observe(ctx, b.o.Deployments[i])
}

func (b *Bridge) advance(ctx context.Context, i int, s Snapshot, trainer logprobs) (ServerReport, error) {
	d, c := b.o.Deployments[i], &b.canaries[i]
	began := b.o.Now()
	before, err := b.before(ctx, i)
	if err == nil {
		err = b.fillCache(ctx, d)
	}
	if err != nil {
		return ServerReport{}, err
	}
	loading := b.o.Now()
	if err := d.Publisher.Load(ctx, s); err != nil {
		return ServerReport{}, err
	}
	loaded := b.o.Now()
	cache, err := b.cacheDiff(ctx, d) // first, while the cache is as the load left it
	if err != nil {
		return ServerReport{}, err
	}
	after, err := b.observe(ctx, d)
	if err != nil {
		return ServerReport{}, err
	}
	r, err := c.judge(s, evidence{
		before: before.scores, after: after.scores, trainer: trainer,
		checksums: compare(before.checksums, after.checksums), cache: cache,
	})
	r.LoadS = loaded.Sub(loading).Seconds()
	r.CanaryS = b.o.Now().Sub(began).Seconds() - r.LoadS
	return r, err
}
