package fleet

import (
	"slices"
	"time"
)

// Straggler is a request that takes longer than it should.
type Straggler struct {
	Name string // the member's
	// Seed is that of the row, First and Count say which samples of it.
	Seed         int64
	First, Count int
	// Tokens are the longest sample's; 0 while it is under way.
	Tokens int
	Took   time.Duration // so far, while it is under way
	// Usual is the median of requests of that length, or, while it is under
	// way, of those that use up all their tokens.
	Usual time.Duration
}

// recent are the last requests that ended well: how long so many tokens take.
type recent struct {
	points []point // a ring
	next   int
}

type point struct {
	tokens int
	took   time.Duration
}

const (
	mostRecent  = 256
	leastRecent = 16 // below this nothing is usual yet
	leastAlike  = 8
)

func (r *recent) add(p point) {
	if p.tokens == 0 {
		return
	}
	if len(r.points) < mostRecent {
		r.points = append(r.points, p)
		return
	}
	r.points[r.next] = p
	r.next = (r.next + 1) % mostRecent
}

// usual is what a request for so many tokens takes: the median of those that
// are at most twice as long or short, where there are enough of them, else in
// proportion to all. It is 0 while too little is known.
func (r *recent) usual(tokens int) time.Duration {
	if len(r.points) < leastRecent {
		return 0
	}
	var alike, all []time.Duration // for the tokens that are asked about
	for _, p := range r.points {
		scaled := time.Duration(float64(p.took) / float64(p.tokens) * float64(tokens))
		all = append(all, scaled)
		if p.tokens <= 2*tokens && tokens <= 2*p.tokens {
			alike = append(alike, scaled)
		}
	}
	if len(alike) >= leastAlike {
		all = alike
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// finished has the request p among the recent ones, and tells if it was a straggler.
func (f *Fleet) finished(p *piece, tokens int, took time.Duration) calls {
	usual := f.recent.usual(tokens)
	f.recent.add(point{tokens, took})
	if p.reported || !f.tooLong(took, usual) {
		return nil
	}
	return f.report(p, tokens, took, usual)
}

// overdue tells of what is under way of t and should have ended, even if it
// used all its tokens.
func (f *Fleet) overdue(t *ticket) {
	f.mu.Lock()
	var tell calls
	usual := f.recent.usual(t.request.Params.MaxTokens)
	for p := range t.pieces {
		if took := time.Since(p.begun); !p.dropped && !p.reported && f.tooLong(took, usual) {
			tell = append(tell, f.report(p, 0, took, usual)...)
		}
	}
	f.mu.Unlock()
	tell.call()
}

func (f *Fleet) tooLong(took, usual time.Duration) bool {
	return usual > 0 && float64(took) > f.o.StragglerFactor*float64(usual)
}

func (f *Fleet) report(p *piece, tokens int, took, usual time.Duration) calls {
	p.reported = true
	p.member.count.Stragglers++
	if f.o.OnStraggler == nil {
		return nil
	}
	s := Straggler{
		Name: p.member.Name, Seed: p.ticket.request.Seed, First: p.first, Count: p.count,
		Tokens: tokens, Took: took, Usual: usual,
	}
	return calls{func() { f.o.OnStraggler(s) }}
}
