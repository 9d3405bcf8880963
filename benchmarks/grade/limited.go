package grade

import (
	"context"
	"time"

	"github.com/justrl/justrl/sampler"
)

// Limited is a verifier with so many places. What has none waits, and the time
// that it may take begins when it has one. Gradings can share it; it is safe for
// concurrent use.
type Limited struct {
	verifier sampler.Verifier
	places   chan struct{}
	limit    time.Duration
}

var _ sampler.Verifier = (*Limited)(nil)

// Limit gives a verifier places, at least one, and a time limit; 0 is none.
func Limit(v sampler.Verifier, places int, limit time.Duration) *Limited {
	return &Limited{v, make(chan struct{}, max(places, 1)), limit}
}

// Places is how many answers it looks at at once.
func (l *Limited) Places() int { return cap(l.places) }

// Verify implements [sampler.Verifier]: it waits for a place. Its errors are the
// verifier's, ctx's cause, or in the chain of [sampler.ErrVerifyTimeout].
func (l *Limited) Verify(ctx context.Context, text, truth string) (sampler.Score, error) {
	if ctx.Err() != nil {
		return sampler.Score{}, context.Cause(ctx)
	}
	select {
	case l.places <- struct{}{}:
		defer func() { <-l.places }()
	case <-ctx.Done():
		return sampler.Score{}, context.Cause(ctx)
	}
	return sampler.VerifyWithin(ctx, l.verifier, l.limit, text, truth)
}

// Versions are those that the verdicts depend on; nil where there are none.
func (l *Limited) Versions() map[string]string {
	if v, ok := l.verifier.(interface{ Versions() map[string]string }); ok {
		return v.Versions()
	}
	return nil
}
