package endpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Retry says how often and how long a request is tried again. The zero value
// is the default. Only what [Retryable] accepts is tried again.
type Retry struct {
	// Tries bounds the attempts, the first included; 0 is no bound but
	// Patience, 1 never tries again.
	Tries int
	// Patience bounds the time from the first failure to the start of the last
	// attempt; 0 is 3 minutes, in which most servers restart.
	Patience time.Duration
	// Attempt bounds one attempt, reply included; 0 is no bound but ctx's own.
	Attempt time.Duration
	// First is the wait before the second attempt, doubled with each further
	// one up to Most, each ± half of itself by chance; 0 is 500 ms.
	First time.Duration
	// Most bounds one wait; 0 is 20 s. A server's Retry-After goes before both.
	Most time.Duration
	// Notify, when set, is told of every failure that will be tried again.
	Notify func(err error, wait time.Duration)
}

// Do calls op until it succeeds, fails for good, or r is used up. op gets a
// context that ends with the attempt. The error is op's last. It ends as soon
// as ctx does: then with a [*GivenUpError], or with ctx's cause alone when
// nothing had failed before.
func (r Retry) Do(ctx context.Context, op func(context.Context) error) error {
	r = r.withDefaults()
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval, waits.Multiplier = r.First, r.Most, 2
	var tries int
	var failing time.Time // since when
	var last error
	attempt := func() (struct{}, error) {
		tries++
		err := r.once(ctx, op)
		switch {
		case err == nil:
			return struct{}{}, nil
		case ended(ctx, err):
			return struct{}{}, backoff.Permanent(err)
		}
		last = err
		if !Retryable(err) {
			return struct{}{}, backoff.Permanent(err)
		}
		if failing.IsZero() {
			failing = time.Now()
		}
		if wait := wished(err); time.Since(failing)+wait > r.Patience {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}
	opts := []backoff.RetryOption{
		backoff.WithBackOff(&patient{waits, func() time.Duration { return r.Patience - time.Since(failing) }}),
		backoff.WithMaxTries(uint(r.Tries)), // 0 is no bound there too
		backoff.WithMaxElapsedTime(0),       // Patience counts from the first failure instead
	}
	if r.Notify != nil {
		opts = append(opts, backoff.WithNotify(r.Notify))
	}
	_, err := backoff.Retry(ctx, attempt, opts...)
	switch {
	case err == nil:
		return nil
	case last != nil && ended(ctx, err):
		return &GivenUpError{Tries: tries, Last: last, Cause: context.Cause(ctx)}
	case tries > 1:
		return fmt.Errorf("after %d tries: %w", tries, err)
	}
	return err
}

// ended tells whether err is no failure of op's own but that ctx is done.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err()))
}

// patient has the last of the waits end with the patience that is left.
type patient struct {
	backoff.BackOff
	left func() time.Duration
}

func (p *patient) NextBackOff() time.Duration {
	left := p.left()
	if left <= 0 {
		return backoff.Stop
	}
	return min(p.BackOff.NextBackOff(), left)
}

func (r Retry) once(ctx context.Context, op func(context.Context) error) error {
	if r.Attempt <= 0 {
		return op(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.Attempt, &TimeoutError{After: r.Attempt})
	defer cancel()
	return op(ctx)
}

func (r Retry) withDefaults() Retry {
	if r.Patience == 0 {
		r.Patience = 3 * time.Minute
	}
	if r.First == 0 {
		r.First = 500 * time.Millisecond
	}
	if r.Most == 0 {
		r.Most = 20 * time.Second
	}
	return r
}

// wished is the wait that the server asked for; 0 if it did not.
func wished(err error) time.Duration {
	var after *backoff.RetryAfterError
	if errors.As(err, &after) {
		return after.Duration
	}
	return 0
}
