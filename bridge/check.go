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

// Check makes sure that every deployment still serves b.Live: call it after
// sampling and before training on what was sampled. Each is asked through its
// Publisher where that is a [Watcher], and scores the probes.
//
// A [*CanaryError] of PartIdle means that what was sampled is not the live
// version's; Advance then refuses until another Start. Any other error means
// that a server could not be asked, and changes nothing: Check may be called
// again. What was seen is what the next Advance holds the load against, so
// that it need not score the servers before it.
func (b *Bridge) Check(ctx context.Context) error {
	if !b.started {
		return errors.New("bridge: Check before Start")
	}
	b.seen = nil
	seen := make([]observation, len(b.o.Deployments))
	err := b.all(func(i int) (err error) {
		seen[i], err = b.check(ctx, i)
		return err
	})
	var other *CanaryError
	switch {
	case errors.As(err, &other):
		b.started = false
	case err == nil:
		b.seen = seen
	}
	return err
}

func (b *Bridge) check(ctx context.Context, i int) (observation, error) {
	d, c := b.o.Deployments[i], &b.canaries[i]
	if w, ok := d.Publisher.(Watcher); ok {
		if err := w.StillLive(ctx); err != nil {
			return observation{}, err
		}
	}
	seen, err := b.observe(ctx, d)
	if err != nil {
		return observation{}, err
	}
	return seen, c.stillLive(c.live, seen.scores)
}
