package fleet

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/sampler"
)

func TestUsual(t *testing.T) {
	var r recent
	if r.usual(10) != 0 {
		t.Error("something is usual before anything was seen")
	}
	for i := range leastRecent {
		r.add(point{100 + i, time.Duration(100+i) * second})
	}
	r.add(point{0, second}) // says nothing
	for tokens, want := range map[int]time.Duration{100: 100 * second, 10: 10 * second, 1000: 1000 * second} {
		if got := r.usual(tokens).Round(time.Millisecond); got != want {
			t.Errorf("%d tokens: %s, want %s", tokens, got, want)
		}
	}
	for range leastAlike { // short ones take long for their length: the prompt
		r.add(point{10, 25 * second})
	}
	if got := r.usual(11).Round(time.Millisecond); got != 27500*time.Millisecond {
		t.Errorf("11 tokens among those of 10: %s", got)
	}
	for range mostRecent {
		r.add(point{100, second})
	}
	if got := r.usual(50).Round(time.Millisecond); got != 500*time.Millisecond || len(r.points) != mostRecent {
		t.Errorf("what is long past still counts: %s of %d", got, len(r.points))
	}
}

// A server is busy while anything is under way at it, however much.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fakes := fleetOf(t, 1, Options{})
		fakes[0].fault = func(ctx context.Context, _ sampler.Request) error { return sleep(ctx, 10*second) }
		before := time.Now()
		all(t, f, 3, 2)
		took := time.Since(before)
		if got := f.Stats()[0].Busy; got < 10*second || got > took {
			t.Errorf("busy for %s of %s", got, took)
		}
		busy := f.Stats()[0].Busy
		time.Sleep(time.Hour)
		if got := f.Stats()[0].Busy; got != busy {
			t.Errorf("an idle hour counts: %s after %s", got, busy)
		}
		done := make(chan error)
		go func() {
			_, err := f.Generate(t.Context(), request(1, 1))
			done <- err
		}()
		time.Sleep(5 * second)
		if got := f.Stats()[0].Busy; got < busy+4*second || got > busy+5*second {
			t.Errorf("what is under way does not count: %s after %s", got, busy)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestStragglers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []Straggler
		f, fakes := fleetOf(t, 2, Options{OnStraggler: func(s Straggler) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, s)
		}})
		all(t, f, 4, 1) // too little is known yet, whatever is slow
		all(t, f, 40, 1)
		if len(told) != 0 {
			t.Fatalf("told of %+v among requests of one speed", told)
		}
		hang := func(d time.Duration) func(context.Context, sampler.Request) error {
			return func(ctx context.Context, _ sampler.Request) error { return sleep(ctx, d) }
		}
		// It ends before even the longest request could be said to be late.
		fakes[0].fault, fakes[1].fault = hang(35*second), hang(35*second)
		short := 0
		for length(int64(1000*short)) != 2 {
			short++
		}
		ask(t, f, request(short, 1))
		// It is late whatever its length will be.
		fakes[0].fault, fakes[1].fault = hang(100*second), hang(100*second)
		ask(t, f, request(short, 1))
		want := []Straggler{
			{Seed: int64(1000 * short), Count: 1, Tokens: 2, Took: 37 * second, Usual: 2 * second},
			{Seed: int64(1000 * short), Count: 1, Took: 50*second - gathering, Usual: 16 * second},
		}
		for i := range told {
			told[i].Name = ""
			told[i].Usual = told[i].Usual.Round(time.Millisecond)
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if s := f.Stats(); s[0].Stragglers+s[1].Stragglers != 2 || s[0].Fenced || s[1].Fenced {
			t.Errorf("%+v", s)
		}
	})
}

func ask(t *testing.T, f *Fleet, r sampler.Request) {
	t.Helper()
	got, err := f.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	check(t, r, got)
}
