package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

func TestJudge(t *testing.T) {
	dead := fmt.Errorf("vllm: %w", &endpoint.StatusError{Status: 500, Message: "EngineCore encountered an issue"})
	for _, c := range []struct {
		name string
		err  error
		want verdict
	}{
		{"nothing listens", errGone, doubt},
		{"a cut or wrong reply", errCut, doubt},
		{"a request over its time", fmt.Errorf("POST: %w", &endpoint.TimeoutError{After: time.Hour}), doubt},
		{"given up over it", &endpoint.GivenUpError{Tries: 2, Last: status(500, 0), Cause: &endpoint.TimeoutError{}}, doubt},
		{"a deadline of the generator's own", context.DeadlineExceeded, doubt},
		{"the engine died", dead, doubt},
		{"an engine's error", status(500, 0), passing},
		{"a proxy without a server", status(502, 0), doubt},
		{"the same, in other words", status(503, 0), doubt},
		{"a proxy that waited", status(504, 0), doubt},
		{"busy", status(503, time.Second), pressure},
		{"too many requests", status(429, time.Second), pressure},
		{"too many requests, for how long it does not say", status(429, 0), pressure},
		{"a bad request", status(400, 0), refused},
		{"an oversized one", status(413, 0), refused},
		{"an unprocessable one", status(422, 0), refused},
		{"another model than before", status(404, 0), doubt},
		{"another key than before", status(401, 0), doubt},
		{"moved", status(307, 0), doubt},
		{"aborted", fmt.Errorf("vllm: %w: %w", sampler.ErrAborted, status(503, 0)), aborted},
		{"never sent", errors.New("vllm: prompt token 3 is 900, outside the vocabulary of 512"), refused},
	} {
		if got := judge(c.err); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// times lets the first n requests fail with err.
func times(n int, err error) func(context.Context, sampler.Request) error {
	return func(context.Context, sampler.Request) error {
		if n--; n >= 0 {
			return err
		}
		return nil
	}
}

func TestFailuresThatPass(t *testing.T) {
	abort := fmt.Errorf("vllm: %w", sampler.ErrAborted)
	for _, c := range []struct {
		name   string
		fails  int
		err    error
		fenced string // "" if it is not
	}{
		{"a 500", 1, status(500, 0), ""},
		{"two of them", 2, status(500, 0), ""},
		{"three in a row", 3, status(500, 0), "a: 3 failures in a row: vllm: POST http://a: 500: no"},
		{"aborted samples", 2, abort, ""},
		{"all is aborted", 3, abort, "a: it aborts all it is asked for: vllm: the server aborted the request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told fencings
				f, fakes := fleetOf(t, 1, Options{OnFenced: told.add, Patience: time.Hour})
				fakes[0].fault = times(c.fails, c.err)
				time.AfterFunc(time.Minute, func() { f.Admit("a", 1) }) // its keeper; nothing new if it is well
				r := request(1, 4)
				got, err := f.Generate(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				check(t, r, got)
				if got := strings.Join(told.list(), "; "); got != c.fenced {
					t.Errorf("told of %q, want %q", got, c.fenced)
				}
				if s := f.Stats()[0]; s.Requeued != int64(4*c.fails) {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// All that was under way when a server failed in a passing way is one failure.
func TestOneFailureForAllUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told fencings
		f, fakes := fleetOf(t, 1, Options{OnFenced: told.add})
		paused := time.Now().Add(time.Second)
		fakes[0].fault = func(ctx context.Context, _ sampler.Request) error {
			if wait := time.Until(paused); wait > 0 {
				_ = sleep(ctx, wait)
				return sampler.ErrAborted
			}
			return nil
		}
		all(t, f, 8, 8)
		if got := told.list(); len(got) != 0 {
			t.Errorf("told of %q", got)
		}
	})
}

// A generator may give aborted samples instead of an error: they alone are asked for again.
func TestOneAbortedSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []sampler.Request
		f, err := New(Options{Members: []Member{{"a", generate(func(_ context.Context, r sampler.Request) ([]sampler.Rollout, error) {
			asked = append(asked, r)
			out := answer(r)
			if len(asked) == 1 {
				out[2] = sampler.Rollout{Sample: 2, FinishReason: sampler.FinishAbort}
			}
			return out, nil
		})}}})
		if err != nil {
			t.Fatal(err)
		}
		f.Admit("a", 1)
		r := request(1, 4)
		got, err := f.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		check(t, r, got)
		if len(asked) != 2 || asked[1].First != 2 || asked[1].Count != 1 || asked[1].Seed != r.Seed {
			t.Errorf("asked for %+v", asked)
		}
	})
}

func TestTheRequestsOwnFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fakes := fleetOf(t, 2, Options{})
		for _, m := range fakes {
			m.fault = func(context.Context, sampler.Request) error { return status(400, 0) }
		}
		got, err := f.Generate(t.Context(), request(1, 4))
		var member *MemberError
		if got != nil || !errors.As(err, &member) || !strings.HasPrefix(err.Error(), "server ") || !strings.HasSuffix(err.Error(), ": vllm: POST http://a: 400: no") {
			t.Errorf("%v, %v", got, err)
		}
		if s := f.Stats(); s[0].Fenced || s[1].Fenced {
			t.Errorf("%+v", s)
		}
		idle(t, f)
		if _, err := f.Generate(t.Context(), sampler.Request{}); err == nil || !strings.HasPrefix(err.Error(), "fleet: request: ") {
			t.Errorf("an empty request: %v", err)
		}
	})
}

// Who wants to be let alone for longer than the run is patient is asked again when
// that is over, and then fenced as any other that refuses everything.
func TestALongRefusalIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told fencings
		f, fakes := fleetOf(t, 1, Options{OnFenced: told.add, Patience: time.Minute})
		fakes[0].fault = func(context.Context, sampler.Request) error { return status(429, 12*time.Hour) }
		begun := time.Now()
		_, err := f.Generate(t.Context(), request(1, 4))
		var out *OutError
		if took := time.Since(begun); !errors.As(err, &out) || took > 5*time.Minute {
			t.Errorf("%v after %s", err, took)
		}
		if got := told.list(); len(got) != 1 || !strings.Contains(got[0], "a: it has refused everything for ") {
			t.Errorf("told of %q", got)
		}
	})
}

// What fails wherever it is asked for takes every server down with it, but not for ever.
func TestARequestThatKillsServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told fencings
		f, fakes := fleetOf(t, 3, Options{OnFenced: told.add, Patience: time.Hour})
		for _, m := range fakes {
			m.fault = func(_ context.Context, r sampler.Request) error {
				time.AfterFunc(time.Minute, func() { f.Admit(m.name, 1) })
				return errCut
			}
		}
		_, err := f.Generate(t.Context(), request(1, 1))
		if err == nil || !errors.Is(err, errCut) || !strings.Contains(err.Error(), "it failed 5 times, wherever it was asked for") {
			t.Errorf("%v", err)
		}
		if got := told.list(); len(got) != 5 {
			t.Errorf("told of %q", got)
		}
	})
}

// Servers that go together, with a row's samples under way at all of them, are one
// failure of it; and where nothing was listening it has failed nowhere. It waits
// for one to come back.
func TestManyServersGoTogether(t *testing.T) {
	for name, err := range map[string]error{"connections are cut": errCut, "nothing listens": errGone} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, fakes := fleetOf(t, 8, Options{Patience: time.Hour})
				gone := time.Now().Add(time.Second)
				for _, m := range fakes {
					m.fault = func(ctx context.Context, _ sampler.Request) error {
						switch wait := time.Until(gone); {
						case wait > 0:
							if e := sleep(ctx, wait); e != nil {
								return e
							}
							return err
						case wait > -time.Minute:
							return errGone
						}
						return nil
					}
				}
				time.AfterFunc(2*time.Minute, func() { f.Admit("c", 1) })
				r := request(1, 8)
				got, err := f.Generate(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				check(t, r, got)
				for _, m := range fakes {
					if m.asks() == 0 {
						t.Errorf("%s was never asked: the test tests nothing", m.name)
					}
				}
				idle(t, f)
			})
		})
	}
}

func TestAGeneratorThatGivesTooFew(t *testing.T) {
	f, err := New(Options{Members: []Member{{"a", generate(func(_ context.Context, r sampler.Request) ([]sampler.Rollout, error) {
		return answer(r)[1:], nil
	})}}})
	if err != nil {
		t.Fatal(err)
	}
	f.Admit("a", 1)
	if _, err := f.Generate(t.Context(), request(1, 4)); err == nil || !strings.Contains(err.Error(), "generator returned 3 rollouts of 4") {
		t.Errorf("%v", err)
	}
}

func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told fencings
		f, fakes := fleetOf(t, 1, Options{OnFenced: told.add})
		begun := time.Now()
		fakes[0].fault = func(_ context.Context, r sampler.Request) error {
			if time.Since(begun) < time.Second {
				return status(429, 30*second)
			}
			return nil
		}
		all(t, f, 20, 8)
		s := f.Stats()[0]
		if len(told.list()) != 0 || s.Limit != startLimit/2 || s.Pressure == 0 {
			t.Errorf("told of %q; %+v; want the limit halved once and no fencing", told.list(), s)
		}
		for i, at := range fakes[0].when {
			if after := at.Sub(begun); after > second && after < 30*second {
				t.Errorf("request %d came after %s, within the 30 s", i, after)
			}
		}
	})
}

// Without a word of how long, the waits grow.
func TestBackPressureWithoutATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fakes := fleetOf(t, 1, Options{})
		fakes[0].fault = times(4, status(429, 0))
		begun := time.Now()
		all(t, f, 1, 1)
		waits := firstRest + 2*firstRest + 4*firstRest + 8*firstRest
		if got := fakes[0].when[4].Sub(begun) - gathering; got != waits || f.Stats()[0].Limit != startLimit/16 {
			t.Errorf("asked again after %s, want %s; %+v", got, waits, f.Stats()[0])
		}
	})
}

func TestEndlessRefusalIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told fencings
		f, fakes := fleetOf(t, 2, Options{OnFenced: told.add, Patience: time.Minute, MaxInFlight: 1})
		fakes[0].fault = times(1000, status(429, 20*second))
		fakes[1].fault = func(ctx context.Context, _ sampler.Request) error { return sleep(ctx, 10*second) }
		all(t, f, 3, 10)
		if got := told.list(); len(got) != 1 || !strings.Contains(got[0], "a: it has refused everything for 1m20s: vllm: POST http://a: 429: no") {
			t.Errorf("told of %q", got)
		}
	})
}
