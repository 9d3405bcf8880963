package fleet

import (
	"container/heap"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/fleet"
)

var full = flag.Bool("full", false, "measure at the full size, and every batch")

const (
	servers = 64
	streams = 64 // of each
	samples = 8  // a row
	token   = 10 * time.Millisecond
	bar     = 1.1 // makespan over the ideal
)

// weather is what the servers are like.
type weather struct {
	rows    int
	seen    int  // answers a problem that the lengths were learnt from; 0 knows nothing
	inOrder bool // sampler.Sampler.Concurrency 256 and no lengths: as without a fleet
	token   func(server int) time.Duration
	dies    bool // one server dies half-way and does not come back
	before  bool // another batch was sampled before: how fast each server is, is known
	servers int
}

// result is how long a batch took, and what could be had.
type result struct {
	took time.Duration
	// ideal is the least that any schedule takes: the longest answer, or all of
	// them if no stream ever idled.
	ideal time.Duration
	// blind is what one takes that knows no more than the fleet, the means of an
	// earlier epoch, but has every stream at its command: whenever one is free,
	// the longest expected begins. Between it and the ideal is what only knowing
	// each answer's length beforehand would give.
	blind time.Duration
}

// batch samples a batch in virtual time.
func (w weather) batch(t *testing.T) result {
	t.Helper()
	var o fleet.Options
	speed, fastest := 0.0, 0.0 // streams' tokens a second
	for i := range w.servers {
		per := token
		if w.token != nil {
			per = w.token(i)
		}
		o.Members = append(o.Members, fleet.Member{Name: fmt.Sprint("server", i), Generator: NewServer(streams, per, DefaultLengths)})
		speed += streams / per.Seconds()
		fastest = max(fastest, 1/per.Seconds())
	}
	f, err := fleet.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range o.Members {
		f.Admit(m.Name, 1)
	}
	s := &sampler.Sampler{Generator: f, Verifier: anything{}, Concurrency: -1}
	if w.inOrder {
		s.Concurrency = 0
	}
	if w.seen > 0 {
		s.Lengths = w.learn()
	}
	all, longest := 0, 0
	rows := make([]sampler.Row, w.rows)
	seed := func(r sampler.Row) int64 { return r.Ordinal * 1000 }
	for i := range rows {
		rows[i] = sampler.Row{Ordinal: int64(i), Problem: sampler.Problem{ID: fmt.Sprint(i)}, PromptTokenIDs: []int32{int32(i)}}
		for j := range samples {
			n := DefaultLengths.Tokens(int64(i), seed(rows[i])+int64(j))
			all, longest = all+n, max(longest, n)
		}
	}
	ideal := time.Duration(max(float64(longest)/fastest, float64(all)/speed) * 1e9)
	params := sampler.Params{N: samples, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: maxTokens}
	if w.before {
		earlier := slices.Clone(rows)
		for i := range earlier {
			earlier[i].Ordinal += 1 << 20
			earlier[i].Problem.ID = fmt.Sprint("earlier", i)
		}
		if _, err := s.Sample(t.Context(), earlier, params, seed, 1); err != nil {
			t.Fatal(err)
		}
	}
	if w.dies {
		time.AfterFunc(ideal/2, func() { f.Fence("server0", errors.New("killed")) })
	}
	begun := time.Now()
	groups, err := s.Sample(t.Context(), rows, params, seed, 1)
	if err != nil {
		t.Fatal(err)
	}
	out := result{took: time.Since(begun), ideal: ideal, blind: w.blind(o, rows, seed)}
	for i, g := range groups {
		for j, r := range g.Rollouts {
			if want := DefaultLengths.Tokens(int64(i), seed(g.Row)+int64(j)); r.Sample != j || len(r.TokenIDs) != want {
				t.Fatalf("row %d sample %d is sample %d of %d tokens, want %d", i, j, r.Sample, len(r.TokenIDs), want)
			}
		}
	}
	return out
}

// blind is result.blind.
func (w weather) blind(o fleet.Options, rows []sampler.Row, seed sampler.SeedFunc) time.Duration {
	rows = slices.Clone(rows)
	if w.seen > 0 {
		lengths := w.learn() // what the batch's own answers have taught since is not for it
		slices.SortStableFunc(rows, func(a, b sampler.Row) int { return lengths.Expect(b) - lengths.Expect(a) })
	}
	var free streamHeap
	for _, m := range o.Members {
		for range streams {
			free = append(free, stream{token: m.Generator.(*Server).Token})
		}
	}
	last := time.Duration(0)
	for _, row := range rows {
		for j := range samples {
			s := &free[0]
			s.free += time.Duration(DefaultLengths.Tokens(row.Ordinal, seed(row)+int64(j))) * s.token
			last = max(last, s.free)
			heap.Fix(&free, 0)
		}
	}
	return last
}

// stream is when a stream is free.
type stream struct{ free, token time.Duration }

type streamHeap []stream

func (h streamHeap) Len() int           { return len(h) }
func (h streamHeap) Less(i, j int) bool { return h[i].free < h[j].free }
func (h streamHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *streamHeap) Push(any)          {}
func (h *streamHeap) Pop() any          { return nil }

// learn sees other answers to the same problems, those of an earlier epoch.
func (w weather) learn() *sampler.MeanLengths {
	l := &sampler.MeanLengths{}
	for i := range w.rows {
		for j := range w.seen {
			n := DefaultLengths.Tokens(int64(i), -1-int64(j))
			l.Observe(sampler.Row{Problem: sampler.Problem{ID: fmt.Sprint(i)}}, sampler.Rollout{TokenIDs: tokens[:n]})
		}
	}
	return l
}

type anything struct{}

func (anything) Verify(context.Context, string, string) (sampler.Score, error) {
	return sampler.Score{Reward: 1}, nil
}

func TestMakespan(t *testing.T) {
	scale := 16 // a sixteenth of the servers and of the work, for every day
	if *full {
		scale = 1
	}
	slower := func(i int) time.Duration { return token << (i % 2) }
	for _, c := range []struct {
		name string
		w    weather
		// Which of the two the bar is for; neither is for comparison.
		ideal, knowing bool
	}{
		{"2,048 samples", weather{rows: 256, seen: 8}, true, true},
		{"8,192 samples", weather{rows: 1024, seen: 8}, true, true},
		{"16,384 samples", weather{rows: 2048, seen: 8}, false, true},
		{"32,768 samples", weather{rows: 4096, seen: 8}, false, true},
		{"16,384 samples of unknown lengths", weather{rows: 2048}, false, true},
		{"16,384 samples, 256 rows at a time in their order", weather{rows: 2048, inOrder: true}, false, false},
		{"16,384 samples, every second server half as fast", weather{rows: 2048, seen: 8, token: slower}, false, true},
		{"2,048 samples, every second server half as fast", weather{rows: 256, seen: 8, token: slower, before: true}, false, true},
		{"8,192 samples, every second server half as fast", weather{rows: 1024, seen: 8, token: slower, before: true}, false, true},
		{"16,384 samples, one server dies half-way", weather{rows: 2048, seen: 8, dies: true}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.w.rows /= scale
				c.w.servers = servers / scale
				r := c.w.batch(t)
				ratio, blind := r.took.Seconds()/r.ideal.Seconds(), r.took.Seconds()/r.blind.Seconds()
				t.Logf("makespan %.3f of the ideal (%.0f s of %.0f s), %.3f of what its knowledge allows", ratio, r.took.Seconds(), r.ideal.Seconds(), blind)
				if c.ideal && ratio > bar {
					t.Errorf("makespan %.3f of the ideal, over %.2f", ratio, bar)
				}
				if *full && c.knowing && blind > bar {
					t.Errorf("makespan %.3f of what the fleet's knowledge allows, over %.2f", blind, bar)
				}
			})
		})
	}
}
