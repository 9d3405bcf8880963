package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/sampler"
)

func TestNewRefuses(t *testing.T) {
	ok := Member{Name: "a", Generator: &fake{}}
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"no members", Options{}, "fleet: no server"},
		{"no name", Options{Members: []Member{{Generator: &fake{}}}}, "server 0 has no name"},
		{"no generator", Options{Members: []Member{{Name: "a"}}}, "server a has no generator"},
		{"a name twice", Options{Members: []Member{ok, ok}}, "server a is named twice"},
		{"negative patience", Options{Members: []Member{ok}, Patience: -1}, "negative"},
	} {
		if _, err := New(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestManyRowsOverManyServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fakes := fleetOf(t, 3, Options{MaxInFlight: 10})
		all(t, f, 40, 8)
		total := int64(0)
		for i, m := range f.Stats() {
			if fakes[i].most > 10 {
				t.Errorf("%s had %d samples under way, the most is 10", m.Name, fakes[i].most)
			}
			if m.Samples < 80 || m.InFlight != 0 || m.Requests != int64(fakes[i].asks()) || m.Requeued != 0 || m.Fencings != 0 {
				t.Errorf("%+v", m)
			}
			total += m.Samples
		}
		if total != 320 {
			t.Errorf("%d samples in all, want 320", total)
		}
	})
}

func TestAKilledServersWorkGoesToTheOthers(t *testing.T) {
	for name, cause := range map[string]error{"unreachable": errGone, "a cut reply": errCut, "502": status(502, 0)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told fencings
				f, fakes := fleetOf(t, 3, Options{MaxInFlight: 16, OnFenced: told.add})
				dead := time.Now().Add(2500 * time.Millisecond)
				fakes[1].fault = func(ctx context.Context, r sampler.Request) error {
					if err := sleep(ctx, time.Until(dead)); err != nil {
						return err
					}
					return cause
				}
				all(t, f, 12, 8)
				if got := told.list(); len(got) != 1 || !strings.HasPrefix(got[0], "b: ") || !strings.Contains(got[0], cause.Error()) {
					t.Errorf("told of %q, want one fencing of b", got)
				}
				s := f.Stats()[1]
				if !s.Fenced || s.Why == nil || s.Samples != 0 || s.Requeued != 16 || s.Fencings != 1 || s.Since != dead {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// A server that was fenced while it answered may have had other weights.
func TestALateAnswerIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := make(chan struct{})
		stubborn := generate(func(_ context.Context, r sampler.Request) ([]sampler.Rollout, error) {
			<-late // it does not know how to be cancelled
			out := answer(r)
			for i := range out {
				out[i].TokenIDs = []int32{-1}
			}
			return out, nil
		})
		good := &fake{}
		f, err := New(Options{Members: []Member{{"stubborn", stubborn}, {"good", good}}})
		if err != nil {
			t.Fatal(err)
		}
		f.Admit("stubborn", 1)
		time.AfterFunc(time.Second, func() { f.Fence("stubborn", errors.New("its canary is dead")); f.Admit("good", 1) })
		time.AfterFunc(2*time.Second, func() { f.Admit("stubborn", 1); close(late) }) // not even if it is well by then
		r := request(1, 3)
		got, err := f.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		check(t, r, got)
		if got[0].Server != "good" || f.Stats()[0].Samples != 0 {
			t.Errorf("the samples are of %s; %+v", got[0].Server, f.Stats()[0])
		}
		idle(t, f)
	})
}

type generate func(context.Context, sampler.Request) ([]sampler.Rollout, error)

func (g generate) Generate(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	return g(ctx, r)
}

func TestAllGoneAndOneBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		f, fakes := fleetOf(t, 2, Options{Patience: time.Minute})
		gone := true
		for _, m := range fakes {
			m.fault = func(context.Context, sampler.Request) error {
				if gone {
					return errGone
				}
				return nil
			}
		}
		time.AfterFunc(50*time.Second, func() { gone = false; f.Admit("b", 1) })
		r := request(1, 4)
		got, err := f.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		check(t, r, got)
		if got[0].Server != "b" || time.Since(begun) < 50*time.Second {
			t.Errorf("server %q after %s", got[0].Server, time.Since(begun))
		}
	})
}

func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fakes := fleetOf(t, 3, Options{Patience: time.Minute})
		f.Fence("b", errors.New("its canary failed"))
		f.Admit("c", 7)
		fakes[0].fault = func(ctx context.Context, _ sampler.Request) error {
			_ = sleep(ctx, time.Second)
			return errGone
		}
		begun := time.Now()
		got, err := f.Generate(t.Context(), request(1, 1))
		const want = "no server of 3 serves version 1, after a wait of 1m0s: " +
			"a is out for 1m0s: POST http://a/v1/completions: connection refused: start it; " +
			"b is out for 1m1s: its canary failed; c serves version 7"
		var out *OutError
		if got != nil || !errors.As(err, &out) || err.Error() != want {
			t.Errorf("%v\ngot  %v\nwant %s", got, err, want)
		}
		if !errors.Is(err, errGone) {
			t.Error("the reasons are not in the chain")
		}
		if took := time.Since(begun); took != time.Minute+time.Second+gathering {
			t.Errorf("it took %s", took)
		}
		idle(t, f)
	})
}

func TestNobodyWasEverLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := New(Options{Members: []Member{{"http://a", &fake{}}}, Patience: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		r := request(1, 1)
		r.Version = 0
		_, err = f.Generate(t.Context(), r)
		const want = "no server is in service, after a wait of 1s: http://a is out for 1s: not loaded yet"
		if !errors.Is(err, ErrNotLoaded) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

// Patience begins anew with every admission, however short.
func TestPatienceBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := fleetOf(t, 1, Options{Patience: time.Minute})
		f.Fence("a", errGone)
		for i := range 5 {
			time.AfterFunc(time.Duration(i+1)*50*time.Second, func() { f.Admit("a", 1); f.Fence("a", errGone) })
		}
		begun := time.Now()
		_, err := f.Generate(t.Context(), request(1, 8))
		var out *OutError
		if !errors.As(err, &out) || time.Since(begun) < 5*50*time.Second+time.Minute {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}

func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fakes := fleetOf(t, 3, Options{MaxInFlight: 8})
		ctx, stop := context.WithCancel(t.Context())
		var keeper errgroup.Group
		keeper.Go(func() error {
			for random := rand.New(rand.NewPCG(1, 2)); sleep(ctx, 7*time.Second) == nil; {
				name := fakes[random.IntN(3)].name
				f.Fence(name, errGone)
				if sleep(ctx, 3*time.Second) != nil {
					break
				}
				f.Admit(name, 1)
			}
			return nil
		})
		all(t, f, 30, 8)
		stop()
		_ = keeper.Wait()
		again := int64(0)
		for _, s := range f.Stats() {
			again += s.Requeued
		}
		if again == 0 {
			t.Error("nothing was ever asked for again: the test tests nothing")
		}
	})
}

func TestVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fakes := fleetOf(t, 3, Options{})
		f.Admit("b", 2)
		all(t, f, 20, 4)
		if fakes[1].asks() != 0 {
			t.Error("b serves version 2, and was asked for version 1")
		}
		r := request(50, 4)
		r.Version = 2
		got, err := f.Generate(t.Context(), r)
		if err != nil || got[0].Server != "b" {
			t.Errorf("version 2 from %v, %v", got, err)
		}
		r = request(51, 8)
		r.Version = 0
		before := [3]int{fakes[0].asks(), fakes[1].asks(), fakes[2].asks()}
		if _, err := f.Generate(t.Context(), r); err != nil {
			t.Error(err)
		}
		for i, m := range fakes {
			if m.asks() == before[i] {
				t.Errorf("%s was not asked for any version", m.name)
			}
		}
	})
}

// A new version makes what is under way worthless, without a fencing.
func TestAnotherVersionRecalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told fencings
		f, fakes := fleetOf(t, 1, Options{OnFenced: told.add, Patience: time.Minute})
		cancelled := 0
		fakes[0].fault = func(ctx context.Context, _ sampler.Request) error {
			if err := sleep(ctx, 10*time.Second); err != nil {
				cancelled++
				return err
			}
			return nil
		}
		time.AfterFunc(5*time.Second, func() { f.Admit("a", 1) }) // says nothing new
		time.AfterFunc(8*time.Second, func() { f.Admit("a", 2) })
		time.AfterFunc(9*time.Second, func() { f.Admit("a", 1) })
		r := request(1, 4)
		got, err := f.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		check(t, r, got)
		if s := f.Stats()[0]; cancelled != 1 || s.Requeued != 4 || s.Fencings != 0 || len(told.list()) != 0 {
			t.Errorf("%d requests cancelled; %+v; told of %q", cancelled, s, told.list())
		}
	})
}

func TestCancelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fakes := fleetOf(t, 2, Options{MaxInFlight: 4})
		why := errors.New("ctrl-c")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
		var g errgroup.Group
		for i := range 10 {
			g.Go(func() error {
				if got, err := f.Generate(ctx, request(i, 4)); got != nil || !errors.Is(err, why) {
					t.Errorf("row %d: %v, %v", i, got, err)
				}
				return nil
			})
		}
		_ = g.Wait()
		for _, m := range fakes {
			if m.now != 0 {
				t.Errorf("%s is still at work on %d samples", m.name, m.now)
			}
		}
		if s := f.Stats(); s[0].Fenced || s[1].Fenced {
			t.Error("servers were fenced for what was cancelled here")
		}
		idle(t, f)
		all(t, f, 3, 4) // and it goes on
	})
}

// Who cancels is not the server: an interrupt that a request notices before its
// caller does is no failure of the one that it is under way at.
func TestCancellingIsNoFailure(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			var told fencings
			f, fakes := fleetOf(t, 2, Options{OnFenced: told.add})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for _, m := range fakes {
				m.fault = func(ctx context.Context, _ sampler.Request) error {
					cancel()
					return fmt.Errorf("POST: %w", context.Cause(ctx))
				}
			}
			if got, err := f.Generate(ctx, request(1, 8)); got != nil || !errors.Is(err, context.Canceled) {
				t.Errorf("%v, %v", got, err)
			}
			if told := told.list(); len(told) > 0 {
				t.Fatalf("fenced for what was cancelled here: %q", told)
			}
			idle(t, f)
		})
	}
}

// What a callback may do: the keeper of the servers is told, and acts at once.
func TestOnFencedMayAdmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f *Fleet
		var fakes []*fake
		f, fakes = fleetOf(t, 1, Options{OnFenced: func(name string, _ error) { f.Admit(name, 1); f.Stats() }})
		once := true
		fakes[0].fault = func(context.Context, sampler.Request) error {
			if once {
				once = false
				return errCut
			}
			return nil
		}
		r := request(1, 1)
		got, err := f.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		check(t, r, got)
	})
}

func TestUnknownNames(t *testing.T) {
	f, _ := fleetOf(t, 1, Options{})
	for name, do := range map[string]func(){"admit": func() { f.Admit("z", 1) }, "fence": func() { f.Fence("z", errGone) }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of an unknown server passes", name)
				}
			}()
			do()
		}()
		f.Stats() // the panic has left no lock behind
	}
}
