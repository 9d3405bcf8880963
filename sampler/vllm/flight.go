package vllm

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/justrl/justrl/sampler"
)

// Waiting is a request that has not been answered yet.
type Waiting struct {
	Seed         int64 // the row's
	First, Count int   // samples
	Since        time.Time
	Tokens       int64 // that have come so far, those that were lost to a cut included; 0 without [Stream]
}

// flight is a request under way.
type flight struct {
	r      sampler.Request
	since  time.Time
	tokens atomic.Int64
}

// flights are a Generator's.
type flights struct {
	mu  sync.Mutex
	all map[*flight]struct{}
}

func (f *flights) start(r sampler.Request) *flight {
	one := &flight{r: r, since: time.Now()}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[*flight]struct{}{}
	}
	f.all[one] = struct{}{}
	return one
}

func (f *flights) end(one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, one)
}

// Waiting lists the requests under way, the one that has waited longest first:
// what a step that takes too long is waiting for.
func (f *flights) Waiting() []Waiting {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Waiting, 0, len(f.all))
	for one := range f.all {
		out = append(out, Waiting{Seed: one.r.Seed, First: one.r.First, Count: one.r.Count, Since: one.since, Tokens: one.tokens.Load()})
	}
	slices.SortFunc(out, func(a, b Waiting) int { return a.Since.Compare(b.Since) })
	return out
}
