package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
)

// load has do take s into every deployment that is not fenced, at once, and
// waits for all: one that fails does not stop another in the middle of a load.
// Then it decides who is live. trainer are the trainer's scores of s.
func (b *Bridge) load(ctx context.Context, s Snapshot, trainer logprobs, do func(*member) (ServerReport, error)) (Report, error) {
	r := Report{Version: s.Version, Changed: true, Servers: make([]ServerReport, len(b.members))}
	errs, _ := b.each(ctx, func(i int, m *member) (err error) {
		r.Servers[i], err = do(m)
		return err
	})
	waits := false
	b.mu.Change(func() {
		left := 0
		for i, m := range b.members {
			if errs[i] == nil {
				errs[i] = m.fenced // by somebody who saw it die meanwhile
			}
			if errs[i] == nil {
				left++
			}
			r.Servers[i].complete(m.Name, errs[i])
		}
		waits = left == 0 && b.o.Patience > 0 && ctx.Err() == nil && anyMayReturn(errs)
		r.Passed, b.started, b.moving = left > 0, left > 0 || waits, false
		if !b.started {
			return // and nobody is told: there is nothing left to go on with
		}
		b.target, b.trainer = s, trainer
		if left > 0 {
			b.live = s
		}
		b.compareAll(s.Version)
		b.tell(errs)
	})
	if waits {
		r.Passed = b.awaitOne(ctx, r.Servers) == nil
	}
	if r.Passed {
		return r, nil
	}
	return r, errors.Join(errs...)
}

// awaitOne waits for a deployment to rejoin, and fills in its report. If none
// does, nothing is live.
func (b *Bridge) awaitOne(ctx context.Context, reports []ServerReport) error {
	ctx, cancel := context.WithTimeout(ctx, b.o.Patience)
	defer cancel()
	over := make(chan struct{})
	var waits errgroup.Group
	waits.Go(func() error {
		select {
		case <-b.o.GiveUp:
			cancel()
		case <-over:
		}
		return nil
	})
	defer func() {
		close(over)
		_ = waits.Wait() // it has no error
	}()
	found := func() (found bool) {
		for i, m := range b.members {
			if m.fenced == nil {
				reports[i], found = m.report, true
			}
		}
		return found
	}
	err := b.mu.Until(ctx, found)
	if err != nil {
		b.mu.Change(func() {
			if b.started = found(); b.started { // in the last moment
				err = nil
			}
		})
	}
	return err
}

// each runs do for all deployments that are not fenced, at once, and waits for
// all. The errors are in the order of the deployments; one that was fenced has
// its reason, and was not asked: those are in fenced too.
func (b *Bridge) each(ctx context.Context, do func(i int, m *member) error) (errs, fenced []error) {
	fenced = b.fences()
	errs = slices.Clone(fenced)
	var g errgroup.Group
	for i, m := range b.members {
		if fenced[i] != nil {
			continue
		}
		g.Go(func() error {
			errs[i] = m.alone(ctx, func() error { return do(i, m) })
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	return errs, fenced
}

// fences are the reasons of those that are fenced now.
func (b *Bridge) fences() []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := make([]error, len(b.members))
	for i, m := range b.members {
		if m.fenced != nil {
			errs[i] = fmt.Errorf("fenced: %w", m.fenced)
		}
	}
	return errs
}

// tell fences those with an error and says who is live; b.mu is held.
func (b *Bridge) tell(errs []error) {
	for i, m := range b.members {
		if errs[i] != nil {
			b.fence(m, errs[i])
			continue
		}
		m.told = false
		b.o.OnLive(m.Name, b.target.Version)
	}
}

// fence says so once; b.mu is held.
func (b *Bridge) fence(m *member, err error) {
	if m.fenced == nil {
		m.fenced = err
	}
	if !m.told {
		m.told = true
		b.o.OnFenced(m.Name, m.fenced)
	}
}

// anyMayReturn tells whether one failed as servers do that were stopped: it
// neither lied nor lacks what it needs.
func anyMayReturn(errs []error) bool {
	for _, err := range errs {
		var again *restartedError
		if errors.As(err, &again) || err != nil && !lied(err) && !errors.Is(err, ErrUnsupported) {
			return true
		}
	}
	return false
}

// restartedError is a load's that found other weights than those of the load
// before, after a Check had seen these: nothing that was sampled is in doubt.
type restartedError struct{ error }

func (e *restartedError) Unwrap() error { return e.error }

// afterCheck is the error of a load that followed a Check.
func afterCheck(err error) error {
	var lie *CanaryError
	if errors.As(err, &lie) && lie.Part == PartIdle {
		return &restartedError{err}
	}
	return err
}

func lied(err error) bool {
	var canary *CanaryError
	return errors.As(err, &canary)
}

func (b *Bridge) start(ctx context.Context, m *member, s Snapshot, trainer [2]logprobs) (ServerReport, error) {
	c := &m.canary
	*c = canary{server: m.Name, limits: b.o.Limits}
	began := b.o.Now()
	if err := m.load(ctx, s); err != nil {
		return ServerReport{}, err
	}
	loaded := b.o.Now()
	server, err := b.twice(ctx, m.Server)
	if err != nil {
		return ServerReport{}, fmt.Errorf("score the probes with server %s: %w", m.Name, err)
	}
	r, err := c.begin(s, server, trainer)
	if err == nil {
		if err = b.fillCache(ctx, m.Deployment); err == nil {
			r.CacheDiffMax, err = b.cacheDiff(ctx, m.Deployment)
		}
		if r.CacheDiffMax != nil {
			err = c.beginCache(s, *r.CacheDiffMax)
		}
	}
	r.LoadS, r.CanaryS = loaded.Sub(began).Seconds(), b.o.Now().Sub(loaded).Seconds()
	return r, err
}

// before is what a server answers with the weights that a load will replace.
func (b *Bridge) before(ctx context.Context, m *member) (observation, error) {
	if m.seen != nil {
		return *m.seen, nil
	}
	return b.observe(ctx, m.Deployment)
}

func (b *Bridge) advance(ctx context.Context, m *member, s Snapshot, trainer logprobs) (ServerReport, error) {
	d := m.Deployment
	began := b.o.Now()
	checked := m.seen != nil
	before, err := b.before(ctx, m)
	m.seen = nil
	if err == nil {
		err = b.fillCache(ctx, d)
	}
	if err != nil {
		return ServerReport{}, err
	}
	loading := b.o.Now()
	if err := m.load(ctx, s); checked && err != nil {
		return ServerReport{}, afterCheck(err)
	} else if err != nil {
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
	r, err := m.canary.judge(s, evidence{
		before: before.scores, after: after.scores, trainer: trainer,
		checksums: compare(before.checksums, after.checksums), cache: cache,
	})
	if err == nil {
		b.mu.Change(func() { m.sums, m.sumsOf = after.checksums, s.Version })
	}
	r.LoadS = loaded.Sub(loading).Seconds()
	r.CanaryS = b.o.Now().Sub(began).Seconds() - r.LoadS
	return r, err
}
