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
	// Tries bounds the attempts, the first included; 0 is 8, 1 never tries again.
	Tries int
	// Patience bounds the time from the first failure to the start of the last
	// attempt: long enough for a server to restart; 0 is 3 minutes.
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
// context that ends with the attempt. The error is op's last, or ctx's cause
// as soon as ctx is done.
func (r Retry) Do(ctx context.Context, op func(context.Context) error) error {
	r = r.withDefaults()
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval, waits.Multiplier = r.First, r.Most, 2
	var tries int
	var failing time.Time
	attempt := func() (struct{}, error) {
		tries++
		err := r.once(ctx, op)
		switch {
		case err == nil:
			return struct{}{}, nil
		case context.Cause(ctx) != nil:
			return struct{}{}, backoff.Permanent(err)
		case !Retryable(err):
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
		backoff.WithBackOff(waits),
		backoff.WithMaxTries(uint(r.Tries)),
		backoff.WithMaxElapsedTime(0), // Patience counts from the first failure instead
	}
	if r.Notify != nil {
		opts = append(opts, backoff.WithNotify(r.Notify))
	}
	_, err := backoff.Retry(ctx, attempt, opts...)
	if err != nil && tries > 1 && context.Cause(ctx) == nil {
		return fmt.Errorf("after %d tries: %w", tries, err)
	}
	return err
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
	if r.Tries == 0 {
		r.Tries = 8
	}
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
