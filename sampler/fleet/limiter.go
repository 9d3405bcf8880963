package fleet

import (
	"math"
	"time"
)

// The limiter's numbers.
const (
	startLimit  = 64   // samples: less than any GPU's worth, and what a small server has queued is soon seen
	worthwhile  = 0.1  // part of a growth of the limit that throughput must grow by
	tooQueued   = 0.25 // part of the limit that may wait inside the member
	someQueued  = 0.1  // part that is left there, so that it never idles
	collapse    = 0.5  // part of its former throughput below which a member is overloaded
	leastPoints = 8    // samples without which nothing is known
	holdWindows = 8    // windows until a limit that was not better is tried again
)

// limiter is how many samples a member may have under way: additive increase,
// multiplicative decrease (Chiu and Jain, Analysis of the Increase and Decrease
// Algorithms for Congestion Avoidance, 1989) after a slow start (Jacobson,
// Congestion Avoidance and Control, 1988), by throughput, and by the queue inside
// the member (Brakmo and Peterson, TCP Vegas, 1995), because a server that
// batches rather queues than refuses.
//
// It learns in windows: as many samples as the limit, all begun in the window,
// and only while at least as much waits in the fleet as is under way (what a
// limit does that nobody reaches is unknown: RFC 7661; and the end of a batch is
// no time for trials). The requests of a window give a line, time over tokens,
// and from it come two figures:
//
//   - limit × tokens / time is the throughput (Little's law; what was begun and
//     has not ended counts, as it would not if finished tokens were counted). Two
//     windows are compared by their lines at one length, so that it does not matter
//     which of them had the longer answers;
//   - the line's height at 0 tokens is what a request waits before it begins. In
//     proportion to the mean time that is the part of the limit which waits inside
//     the member, but for what a request with the member to itself waits too.
//
// Of the limit that is proven to be good another one is tried for a window:
//
//   - a lower one, by what waits but at most by half, if that is over a quarter:
//     what waits is better off in the fleet's queue, from where anybody can take
//     it. It stays if throughput does not fall by more than a tenth of that; if it
//     does, the wait was no queue, and is not taken for one again;
//   - else a higher one: twice as high in the slow start, by a quarter later (in a
//     batch of streams a smaller step cannot be told from none). It stays if
//     throughput grows by at least a tenth of that; else the slow start is over,
//     and nothing higher is tried for eight windows.
//
// Higher limits are tried by one member in eight at a time: what a trial puts into a
// queue inside a member nobody else can take. What is found out in the slow start
// holds for all that are in it, servers of a fleet being mostly alike.
//
// The limit is halved when the member asks for less (429, 503 with Retry-After),
// once for all the requests that were under way then, and when throughput falls
// below half of what the same limit gave.
type limiter struct {
	limit, most int
	slow        bool      // slow start
	base        int       // the limit that is proven; 0 while none is
	took        line      // what requests took at it
	overhead    float64   // seconds that a request waits without a queue, as far as is known
	hold        int       // windows until a higher limit is tried
	lastCut     time.Time // by the member's wish

	// The window.
	begun           time.Time
	samples         int
	n, x, y, xx, xy float64 // requests; tokens and seconds of them, squares and products
}

func newLimiter(most int) limiter {
	return limiter{limit: min(startLimit, most), most: most, slow: true}
}

// observe is told of a request that ended well: the tokens of its longest
// sample, and the time; and whether a higher limit may be tried now. It tells
// whether one was proven in the slow start.
func (l *limiter) observe(p *piece, tokens int, took time.Duration, mayTry bool) (proven bool) {
	if !p.busy || tokens == 0 || took <= 0 {
		l.restart()
		return false
	}
	if l.begun.IsZero() {
		l.begun = p.begun
	}
	if p.begun.Before(l.begun) {
		return false
	}
	x, y := float64(tokens), took.Seconds()
	l.samples += p.count
	l.n, l.x, l.y, l.xx, l.xy = l.n+1, l.x+x, l.y+y, l.xx+x*x, l.xy+x*y
	if l.samples >= max(l.limit, leastPoints) && l.n >= leastPoints {
		proven = l.conclude(mayTry)
		l.restart()
		l.begun = p.begun.Add(took)
	}
	return proven
}

// restart begins a window.
func (l *limiter) restart() {
	l.begun, l.samples, l.n, l.x, l.y, l.xx, l.xy = time.Time{}, 0, 0, 0, 0, 0, 0
}

// conclude draws the window's conclusion.
func (l *limiter) conclude(mayTry bool) (proven bool) {
	took, mean := l.line(), l.x/l.n
	if l.base > 0 {
		growth := float64(l.limit) / float64(l.base)
		gain, step := growth*l.took.at(mean)/took.at(mean)-1, growth-1
		switch {
		case step > 0 && gain < worthwhile*step:
			l.settle(l.base)
			return false
		case step < 0 && gain < worthwhile*step:
			l.overhead = took.wait
			l.settle(l.base)
			return false
		case step == 0 && 1+gain < collapse:
			l.settle(max(1, l.limit/2))
			return false
		}
		proven = l.slow && step > 0
	}
	l.base, l.took = l.limit, took
	queued := max(0, took.wait-l.overhead) / took.at(mean) // part of the limit
	switch {
	case queued > tooQueued:
		l.slow = false
		begun := 1 - queued
		l.limit = max(1, l.limit/2, int(math.Ceil(float64(l.limit)*begun*(1+someQueued))))
	case l.hold > 0:
		l.hold--
	case !mayTry:
	case l.slow:
		l.limit = min(2*l.limit, l.most)
	default:
		l.limit = min(l.limit+max(1, l.limit/4), l.most)
	}
	return proven
}

// trying tells whether a higher limit is tried.
func (l *limiter) trying() bool { return l.base > 0 && l.limit > l.base }

// adopt takes a limit over that was proven elsewhere.
func (l *limiter) adopt(limit int) {
	if l.slow && l.limit < limit {
		l.limit, l.base = limit, 0
		l.restart()
	}
}

// settle goes to a limit and stays there for a while.
func (l *limiter) settle(limit int) {
	l.limit, l.slow, l.hold = limit, false, holdWindows
	l.base = 0
}

// proven is the limit that is not a trial.
func (l *limiter) proven() int {
	if l.base > 0 {
		return l.base
	}
	return l.limit
}

// line is what requests take: wait seconds, and slope seconds for every token.
type line struct{ wait, slope float64 }

func (t line) at(tokens float64) float64 { return t.wait + t.slope*tokens }

// line is the window's, by least squares; it goes through 0 where the requests'
// lengths do not differ enough to tell a wait.
func (l *limiter) line() line {
	x, y := l.x/l.n, l.y/l.n
	variance := l.xx/l.n - x*x
	if variance < 0.01*x*x {
		return line{0, y / x}
	}
	slope := max(0, (l.xy/l.n-x*y)/variance)
	if slope*x > y {
		return line{0, y / x}
	}
	return line{y - slope*x, slope}
}

// cut halves the limit for a refusal of a request that was begun then; false if
// it was halved since, and this request was under way already.
func (l *limiter) cut(begun, now time.Time) bool {
	if !l.lastCut.IsZero() && !begun.After(l.lastCut) {
		return false
	}
	l.settle(max(1, l.limit/2))
	l.lastCut = now
	l.restart()
	return true
}
