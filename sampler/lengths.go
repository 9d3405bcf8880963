package sampler

import (
	"cmp"
	"slices"
	"sync"
)

// Lengths tells how long answers will probably be, from how long they were.
// The longest begin first, so that a batch does not end with one server at
// work on an answer that might have begun an hour earlier. What it tells
// decides over the order of requests and nothing else. Implementations are
// safe for concurrent use and do not block.
type Lengths interface {
	// Expect is the response tokens that a rollout of row will probably have; 0 is unknown.
	Expect(row Row) int
	// Observe is told of every rollout, those that a ledger knew too.
	Observe(row Row, r Rollout)
}

var _ Lengths = (*MeanLengths)(nil)

// lengthMemory is how many rollouts of a problem its mean looks back on: answers
// change their length as the policy learns.
const lengthMemory = 32

// MeanLengths expects what the rollouts of a problem had in the mean, the last
// ones above all, and of a problem that it has not seen what all had. It keeps
// two numbers a problem. The zero value is ready.
type MeanLengths struct {
	mu       sync.Mutex
	problems map[string]runningMean
	all      runningMean
}

// Expect implements [Lengths].
func (l *MeanLengths) Expect(row Row) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m, ok := l.problems[row.Problem.ID]; ok {
		return int(m.mean + 0.5)
	}
	return int(l.all.mean + 0.5)
}

// Observe implements [Lengths].
func (l *MeanLengths) Observe(row Row, r Rollout) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.problems == nil {
		l.problems = map[string]runningMean{}
	}
	tokens := float64(len(r.TokenIDs))
	l.problems[row.Problem.ID] = l.problems[row.Problem.ID].with(tokens, lengthMemory)
	l.all = l.all.with(tokens, 64*lengthMemory)
}

// runningMean is the mean of what came first, and then an exponential one.
type runningMean struct {
	n    int
	mean float64
}

func (m runningMean) with(x float64, most int) runningMean {
	m.n = min(m.n+1, most)
	m.mean += (x - m.mean) / float64(m.n)
	return m
}

// longestFirst puts asks into the order of what is expected of them; those that
// are expected to be as long keep theirs.
func (b *batch) longestFirst(asks []ask) {
	if b.Lengths == nil {
		return
	}
	for i := range asks {
		asks[i].expected = b.Lengths.Expect(b.groups[asks[i].row].Row)
	}
	slices.SortStableFunc(asks, func(x, y ask) int { return cmp.Compare(y.expected, x.expected) })
}

func (b *batch) observe(row Row, r Rollout) {
	if b.Lengths != nil {
		b.Lengths.Observe(row, r)
	}
}
