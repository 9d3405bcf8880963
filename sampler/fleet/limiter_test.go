package fleet

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// machine is a server as the limiter sees it: streams at once, the rest queued;
// a token takes step seconds and batch more for each sample at work.
type machine struct {
	streams     int
	step, batch float64
	overhead    float64 // seconds of a request beside its tokens
}

// window plays one window at the limiter's limit.
func (m machine) window(l *limiter, random *rand.Rand) {
	now := time.Unix(1_000_000, 0)
	l.restart()
	l.begun = now
	working := float64(min(l.limit, m.streams))
	token := m.step + m.batch*working
	const mean = 100
	// Little: in a closed loop a request's whole time is limit/throughput.
	waiting := float64(l.limit)*(m.overhead+mean*token)/working - (m.overhead + mean*token)
	for limit := l.limit; limit == l.limit && l.samples < max(limit, leastPoints); {
		before := l.samples
		tokens := mean * (0.25 + 1.5*random.Float64())
		took := waiting + m.overhead + tokens*token*(0.98+0.04*random.Float64())
		l.observe(&piece{span: span{0, 1}, begun: now, busy: true}, int(tokens), time.Duration(took*1e9), true)
		if l.samples <= before { // the window was concluded
			break
		}
	}
}

func TestTheLimitFindsItsPlace(t *testing.T) {
	for _, c := range []struct {
		name     string
		m        machine
		most     int
		low, top int // where the proven limit must be after 60 windows
	}{
		{"as many streams as the start", machine{streams: 64, step: 0.01}, 1024, 60, 80},
		{"a large server", machine{streams: 256, step: 0.01}, 1024, 240, 340},
		{"larger than is allowed", machine{streams: 256, step: 0.01}, 100, 100, 100},
		{"four slots", machine{streams: 4, step: 0.01}, 1024, 4, 10},
		{"one slot", machine{streams: 1, step: 0.01}, 1024, 1, 2},
		{"every sample slows the others", machine{streams: 1024, step: 0.01, batch: 0.0001}, 1024, 256, 1024},
		{"short answers to long prompts", machine{streams: 64, step: 0.001, overhead: 5}, 1024, 60, 80},
	} {
		t.Run(c.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(3, 4))
			l := newLimiter(c.most)
			for range 60 {
				c.m.window(&l, random)
				if l.limit < 1 || l.limit > c.most {
					t.Fatalf("limit %d", l.limit)
				}
			}
			if got := l.proven(); got < c.low || got > c.top {
				t.Errorf("limit %d, want %d to %d", got, c.low, c.top)
			}
		})
	}
}

// A server that is suddenly much slower at the same limit has too much of something.
func TestCollapse(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	l := newLimiter(64)
	for range 3 {
		machine{streams: 64, step: 0.01}.window(&l, random)
	}
	machine{streams: 64, step: 0.03}.window(&l, random)
	if l.limit != 32 {
		t.Errorf("limit %d after throughput fell to a third, want 32", l.limit)
	}
	for range 40 {
		machine{streams: 64, step: 0.01}.window(&l, random)
	}
	if l.limit < 60 {
		t.Errorf("limit %d long after, want 64 again", l.limit)
	}
}

func TestNothingIsLearntOfAnIdleServer(t *testing.T) {
	l := newLimiter(1024)
	for range 1000 {
		l.observe(&piece{span: span{0, 1}, begun: time.Now()}, 10, time.Second, true)
	}
	if l.limit != startLimit || l.base != 0 {
		t.Errorf("limit %d, proven %d", l.limit, l.base)
	}
}

func TestCut(t *testing.T) {
	l := newLimiter(1024)
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	for _, c := range []struct {
		begun, now int
		want       bool
		limit      int
	}{{1, 5, true, 32}, {2, 5, false, 32}, {5, 6, false, 32}, {6, 7, true, 16}, {7, 7, false, 16}, {8, 9, true, 8}} {
		if got := l.cut(at(c.begun), at(c.now)); got != c.want || l.limit != c.limit {
			t.Errorf("a request of second %d, refused in second %d: %t, limit %d; want %t, %d", c.begun, c.now, got, l.limit, c.want, c.limit)
		}
	}
	for i := range 10 {
		l.cut(at(10+2*i), at(11+2*i))
	}
	if l.limit != 1 {
		t.Errorf("limit %d, want 1", l.limit)
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		name string
		took func(tokens int) float64
		want line
	}{
		{"a wait", func(n int) float64 { return 7 + float64(n)/2 }, line{7, 0.5}},
		{"none", func(n int) float64 { return float64(n) / 2 }, line{0, 0.5}},
		{"nothing but waiting", func(n int) float64 { return 100 - float64(n) }, line{75, 0}},
		{"long ones are slower", func(n int) float64 { return float64(n * n) }, line{0, 33.0}},
	} {
		l := newLimiter(64)
		for tokens := 1; tokens < 50; tokens++ {
			l.observe(&piece{span: span{0, 1}, begun: time.Unix(9, 0), busy: true}, tokens, time.Duration(c.took(tokens)*1e9), true)
		}
		if got := l.line(); math.Abs(got.wait-c.want.wait) > 1e-6 || math.Abs(got.slope-c.want.slope) > 1e-6 {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	l := newLimiter(64)
	for range 5 {
		l.observe(&piece{span: span{0, 1}, begun: time.Unix(9, 0), busy: true}, 10, time.Second, true)
	}
	if got := l.line(); got != (line{0, 0.1}) {
		t.Errorf("of one length: %+v", got)
	}
}

// What one member finds out in its slow start the others need not.
func TestWhatIsProvenIsAdopted(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	l, other, settled := newLimiter(1024), newLimiter(1024), newLimiter(1024)
	settled.settle(64)
	large := machine{streams: 256, step: 0.01}
	large.window(&l, random)
	if !l.trying() || l.limit != 128 {
		t.Fatalf("limit %d, proven %d: no trial after the first window", l.limit, l.base)
	}
	large.window(&l, random)
	for _, o := range []*limiter{&other, &settled} {
		o.adopt(l.base)
	}
	if l.base != 128 || other.limit != 128 || other.base != 0 || settled.limit != 64 {
		t.Errorf("proven %d; another in slow start has %d, one beyond it %d", l.base, other.limit, settled.limit)
	}
}

func TestNoTrialWithoutLeave(t *testing.T) {
	l := newLimiter(1024)
	for i := range 100 {
		l.observe(&piece{span: span{0, 1}, begun: time.Unix(9, 0), busy: true}, 10+i, time.Duration(10+i)*second, false)
	}
	if l.limit != startLimit || l.base != startLimit {
		t.Errorf("limit %d, proven %d", l.limit, l.base)
	}
}
