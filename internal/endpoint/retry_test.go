package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

var (
	busy    = &StatusError{Status: 503, Message: "busy"}
	refused = &UnreachableError{Err: syscall.ECONNREFUSED, Hint: "start it"}
	invalid = &StatusError{Status: 400, Message: "bad"}
)

func TestRetryDo(t *testing.T) {
	for _, c := range []struct {
		name  string
		r     Retry
		errs  []error // of the attempts in turn; the last repeats
		tries int
		min   time.Duration // that it must take
		max   time.Duration
		want  error
	}{
		{"success at once", Retry{}, []error{nil}, 1, 0, 0, nil},
		{"success after two failures", Retry{First: time.Second}, []error{busy, refused, nil}, 3, 1500 * time.Millisecond, 4500 * time.Millisecond, nil},
		{"not again after a bad request", Retry{}, []error{invalid}, 1, 0, 0, invalid},
		{"tries are used up", Retry{Tries: 4, First: time.Second}, []error{busy}, 4, 3500 * time.Millisecond, 10500 * time.Millisecond, busy},
		{"one try", Retry{Tries: 1}, []error{busy}, 1, 0, 0, busy},
		{"patience is used up, to the end", Retry{Tries: 1000, First: time.Second, Most: time.Second, Patience: 10 * time.Second}, []error{refused}, 0, 10 * time.Second, 10 * time.Second, refused},
		{"3 minutes when nothing is said", Retry{}, []error{refused}, 0, 3 * time.Minute, 3 * time.Minute, refused},
		{"more tries than fit into the patience are no matter", Retry{Tries: 8}, []error{refused}, 8, 20 * time.Second, 2 * time.Minute, refused},
		{"the server's wish goes first", Retry{First: time.Millisecond}, []error{&StatusError{Status: 429, Message: "m", RetryAfter: 30 * time.Second}, nil}, 2, 30 * time.Second, 30 * time.Second, nil},
		{"a wish beyond patience", Retry{Patience: time.Minute}, []error{&StatusError{Status: 429, Message: "m", RetryAfter: time.Hour}}, 1, 0, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, tries := time.Now(), 0
				err := c.r.Do(t.Context(), func(context.Context) error {
					tries++
					return c.errs[min(tries, len(c.errs))-1]
				})
				if c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
				if wantErr := c.errs[len(c.errs)-1] != nil; (err != nil) != wantErr {
					t.Errorf("error %v", err)
				}
				if c.tries != 0 && tries != c.tries {
					t.Errorf("%d tries, want %d", tries, c.tries)
				}
				if took := time.Since(start); took < c.min || took > c.max {
					t.Errorf("took %v, want %v to %v", took, c.min, c.max)
				}
				if err != nil && tries > 1 && !strings.Contains(err.Error(), "after ") {
					t.Errorf("error %v does not say how often it was tried", err)
				}
			})
		})
	}
}

func TestRetryAttemptLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := Retry{Tries: 3, Attempt: time.Minute, First: time.Second, Patience: time.Hour}.Do(t.Context(), func(ctx context.Context) error {
			tries++
			<-ctx.Done()
			return context.Cause(ctx)
		})
		var timeout *TimeoutError
		if !errors.As(err, &timeout) || tries != 3 {
			t.Errorf("error %v after %d tries, want a TimeoutError after 3", err, tries)
		}
	})
}

func TestRetryEndsWithContext(t *testing.T) {
	why := errors.New("ctrl-c")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		time.AfterFunc(3*time.Second, func() { cancel(why) })
		err := Retry{First: time.Hour, Most: time.Hour, Patience: 10 * time.Hour}.Do(ctx, func(context.Context) error { return busy })
		if !errors.Is(err, why) {
			t.Errorf("error %v, want the context's cause", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v, want to end with the context after 3s", took)
		}
	})
}

// What went wrong must not be lost because patience ended elsewhere.
func TestRetryGivenUpKeepsTheLastFailure(t *testing.T) {
	why := errors.New("ctrl-c")
	for _, c := range []struct {
		name  string
		until func(context.Context) (context.Context, context.CancelFunc)
		ends  error // of attempts from the third on; nil waits for the context
		tries int
		cause error
		text  string
	}{
		{"cancelled in an attempt", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Hour, why)
		}, nil, 3, why, ": 503: busy (given up after 3 tries: ctrl-c)"},
		{"the deadline in an attempt", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Hour)
		}, nil, 3, context.DeadlineExceeded, "(given up after 3 tries: context deadline exceeded)"},
		{"cancelled in the first wait", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Millisecond, why)
		}, nil, 1, why, ": 503: busy (given up after 1 try: ctrl-c)"},
		{"cancelled in a later wait", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Hour, why)
		}, &StatusError{Status: 503, Message: "busy", RetryAfter: 2 * time.Hour}, 3, why, ": 503: busy (given up after 3 tries: ctrl-c)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := c.until(t.Context())
				defer cancel()
				tries := 0
				err := Retry{Patience: 10 * time.Hour}.Do(ctx, func(ctx context.Context) error {
					tries++
					switch {
					case tries < 3:
						return busy
					case c.ends != nil:
						return c.ends
					}
					<-ctx.Done()
					return fmt.Errorf("POST http://h: %w", context.Cause(ctx))
				})
				var status *StatusError
				var given *GivenUpError
				if !errors.As(err, &given) || given.Tries != c.tries || !errors.As(err, &status) || !errors.Is(err, c.cause) || !strings.Contains(err.Error(), c.text) {
					t.Errorf("error %v, want both %v and %v, and %q", err, busy, c.cause, c.text)
				}
				if Retryable(err) {
					t.Error("it is retryable although its context is over")
				}
			})
		})
	}
}

func TestRetryOfNothingButTheContext(t *testing.T) {
	why := errors.New("ctrl-c")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := (Retry{}).Do(ctx, func(ctx context.Context) error { return context.Cause(ctx) }); err != why { //nolint:errorlint // it itself
		t.Errorf("error %v, want %v as it is", err, why)
	}
	if err := (Retry{}).Do(ctx, func(context.Context) error { return invalid }); err != invalid { //nolint:errorlint // it itself
		t.Errorf("error %v, want the server's refusal as it is", err)
	}
}

// An attempt of an outer Retry ends an inner one, and the outer goes on.
func TestRetryWithinARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := Retry{Tries: 2, Attempt: time.Minute}.Do(t.Context(), func(ctx context.Context) error {
			tries++
			return Retry{}.Do(ctx, func(context.Context) error { return refused })
		})
		var timeout *TimeoutError
		if tries != 2 || !errors.As(err, &timeout) || !errors.Is(err, refused) {
			t.Errorf("error %v after %d tries", err, tries)
		}
	})
}

func TestRetryNotifies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []error
		r := Retry{Tries: 3, Notify: func(err error, wait time.Duration) {
			if wait <= 0 {
				t.Errorf("told of a wait of %v", wait)
			}
			told = append(told, err)
		}}
		_ = r.Do(t.Context(), func(context.Context) error { return busy })
		if len(told) != 2 || !errors.Is(told[0], busy) {
			t.Errorf("told of %v, want of the two failures that were tried again", told)
		}
	})
}
