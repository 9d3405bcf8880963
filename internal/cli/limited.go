package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/justrl/justrl/sampler"
)

// limited is a verifier that several evaluations share: it has so many places
// in all, and the time limit is of what has one.
type limited struct {
	sampler.Verifier
	free  chan struct{}
	limit time.Duration // 0 is none
}

func newLimited(v sampler.Verifier, places int, limit time.Duration) *limited {
	return &limited{v, make(chan struct{}, max(places, 1)), limit}
}

// Verify implements [sampler.Verifier].
func (l *limited) Verify(ctx context.Context, text, truth string) (sampler.Score, error) {
	select {
	case l.free <- struct{}{}:
		defer func() { <-l.free }()
	case <-ctx.Done():
		return sampler.Score{}, context.Cause(ctx)
	}
	if l.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, l.limit, fmt.Errorf("%w: over %s", sampler.ErrVerifyTimeout, l.limit))
		defer cancel()
	}
	score, err := l.Verifier.Verify(ctx, text, truth)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return score, err
}

// Versions are the verifier's, if it has any.
func (l *limited) Versions() map[string]string {
	if v, ok := l.Verifier.(versioned); ok {
		return v.Versions()
	}
	return nil
}
