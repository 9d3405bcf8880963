package fleet

import (
	"math"
	"slices"
	"time"
)

const (
	paceMemory = 16   // requests that a pace looks back on: one batch does not decide alone
	leastPaced = 3    // requests without which nothing is known of it
	paceFades  = 0.75 // what is left of it when other weights are loaded: who was slow once is tried again
	mostSpeed  = 4    // and always has a little to do
)

// pace is how long a member's tokens take, under what it is given to do.
type pace struct{ n, tokens, seconds float64 }

func (p *pace) observe(tokens int, took time.Duration) {
	if p.n >= paceMemory {
		p.fade(1 - 1/float64(paceMemory))
	}
	p.n, p.tokens, p.seconds = p.n+1, p.tokens+float64(tokens), p.seconds+took.Seconds()
}

func (p *pace) fade(left float64) { p.n, p.tokens, p.seconds = left*p.n, left*p.tokens, left*p.seconds }

// perToken is in seconds; 0 while too little is known.
func (p *pace) perToken() float64 {
	if p.n < leastPaced || p.tokens == 0 {
		return 0
	}
	return p.seconds / p.tokens
}

// compare gives every member its speed: that of its tokens over the median
// member's, in steps of √2, so that what is alike but for chance counts as
// equal and no row is cut for it. Of whom too little is known it is 1.
func (f *Fleet) compare() {
	var known []float64
	for _, m := range f.members {
		if p := m.pace.perToken(); p > 0 {
			known = append(known, p)
		}
	}
	slices.Sort(known)
	for _, m := range f.members {
		m.speed = 1
		if p := m.pace.perToken(); p > 0 {
			ratio := math.Exp2(math.Round(2*math.Log2(known[len(known)/2]/p)) / 2)
			m.speed = min(mostSpeed, max(1/float64(mostSpeed), ratio))
		}
	}
}
