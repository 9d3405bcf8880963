package bridge

import (
	"context"
	"errors"
)

// Watcher is a Publisher that can tell cheaply whether its deployment still
// serves what it loaded last.
type Watcher interface {
	// StillLive returns a [*CanaryError] of PartIdle if the deployment shows
	// that it serves something else, and nil where it shows nothing.
	StillLive(ctx context.Context) error
}

// observation is what was seen of one server at one moment.
type observation struct {
	scores    logprobs
	checksums *sums // nil if it offers none
}

// Check makes sure that the live servers still serve what was loaded into
// them, before training on what was sampled. Each is asked through its
// Publisher where that is a [Watcher], and scores the probes.
//
// One that serves something else is fenced and named in others: what was
// sampled from it since its last load is not the live version's. One that could
// not be asked is fenced too, and has shown nothing of the kind.
//
// The error is for what the run cannot go on with. With a [*CanaryError] in it
// no server is left and one serves something else; Advance then refuses until
// another Start. With any other, no server could be asked, or ctx has ended; it
// changes nothing, and Check may be called again. (No server left, but
// Options.Patience and one that may come back, is no error: Advance waits.)
// What was seen is what the next Advance holds the load against, so that it
// need not score the servers before it.
func (b *Bridge) Check(ctx context.Context) (others []string, err error) {
	b.turn.Lock()
	defer b.turn.Unlock()
	if !b.isStarted() {
		return nil, errors.New("bridge: Check before Start")
	}
	errs, was := b.each(ctx, func(_ int, m *member) (err error) {
		m.seen = nil
		seen, err := b.check(ctx, m)
		if err == nil {
			m.seen = &seen
		}
		return err
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	var liars, unasked []error
	left := 0
	for i, m := range b.members {
		if errs[i] == nil && m.fenced != nil { // by somebody who saw it die meanwhile
			was[i], errs[i] = m.fenced, m.fenced
		}
		switch {
		case errs[i] == nil:
			left++
		case was[i] == nil && lied(errs[i]):
			liars = append(liars, errs[i])
		case was[i] == nil:
			unasked = append(unasked, errs[i])
		}
	}
	ended := ctx.Err() != nil && len(unasked) > 0 // of these nothing is known
	waits := b.o.Patience > 0 && anyMayReturn(errs)
	if left == 0 && !waits && !ended {
		b.started = len(liars) == 0
		return nil, errors.Join(errs...)
	}
	for i, m := range b.members {
		switch {
		case errs[i] == nil || was[i] != nil:
		case lied(errs[i]):
			b.fence(m, errs[i])
			others = append(others, m.Name)
		case !ended:
			b.fence(m, errs[i])
		}
	}
	if ended {
		err = errors.Join(unasked...)
	}
	return others, err
}

func (b *Bridge) isStarted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.started
}

func (b *Bridge) check(ctx context.Context, m *member) (observation, error) {
	if w, ok := m.Publisher.(Watcher); ok {
		if err := w.StillLive(ctx); err != nil {
			return observation{}, err
		}
	}
	seen, err := b.observe(ctx, m.Deployment)
	if err != nil {
		return observation{}, err
	}
	if err := m.canary.stillLive(m.canary.live, seen.scores); err != nil {
		return seen, err
	}
	return seen, m.canary.sameSums(b.shown(m), seen.checksums)
}

// shown are the checksums that the server has shown of what is live; nil if none.
func (b *Bridge) shown(m *member) *sums {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.sumsOf != b.live.Version {
		return nil
	}
	return m.sums
}
