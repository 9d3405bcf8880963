package fleet

import (
	"math"
	"slices"
	"time"
)

const (
	paceMemory = 16 // requests that a pace looks back on
	leastPaced = 3  // requests without which nothing is known of it
	mostSpeed  = 4  // so that everybody has a little to do
)

// pace is how long a member's tokens take: seconds a token of its last requests.
type pace []float64

func (p *pace) observe(tokens int, took time.Duration) {
	if tokens == 0 {
		return
	}
	*p = append(*p, took.Seconds()/float64(tokens))
	if len(*p) > paceMemory {
		*p = slices.Delete(*p, 0, 1)
	}
}

// fade forgets a quarter: with other weights, who was slow once is tried again.
func (p *pace) fade() { *p = slices.Delete(*p, 0, (len(*p)+3)/4) }

// perToken is that of the quickest request, as the others may have waited in a
// queue inside the member, which says nothing of it; 0 while too little is known.
func (p pace) perToken() float64 {
	if len(p) < leastPaced {
		return 0
	}
	return slices.Min(p)
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
