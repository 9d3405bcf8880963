package fleet

import "container/heap"

// span is the samples [first, first+count) of a row.
type span struct{ first, count int }

// queue holds the tickets of one version of which something waits, the next one on top.
type queue []*ticket

// before tells whether a goes before b: what has to be asked for again first,
// then the longest, then the order of arrival.
func before(a, b *ticket) bool {
	switch {
	case a.late != b.late:
		return a.late
	case a.expected != b.expected:
		return a.expected > b.expected
	}
	return a.arrived < b.arrived
}

// enqueue lets a span of t wait.
func (f *Fleet) enqueue(t *ticket, s span) {
	t.waiting = append(t.waiting, s)
	f.waiting += s.count
	q := f.queues[t.request.Version]
	if q == nil {
		q = &queue{}
		f.queues[t.request.Version] = q
	}
	if t.place < 0 {
		heap.Push(q, t)
	} else {
		heap.Fix(q, t.place)
	}
}

// take removes up to n samples of t, of one span, from what waits.
func (f *Fleet) take(t *ticket, n int) span {
	s := &t.waiting[0]
	n = min(n, s.count)
	taken := span{s.first, n}
	s.first, s.count = s.first+n, s.count-n
	if s.count == 0 {
		t.waiting = t.waiting[1:]
	}
	f.waiting -= n
	if len(t.waiting) == 0 {
		f.leave(t)
	}
	return taken
}

// drop removes all of t that waits.
func (f *Fleet) drop(t *ticket) {
	for _, s := range t.waiting {
		f.waiting -= s.count
	}
	t.waiting = nil
	f.leave(t)
}

func (f *Fleet) leave(t *ticket) {
	if t.place < 0 {
		return
	}
	version := t.request.Version
	q := f.queues[version]
	heap.Remove(q, t.place)
	if len(*q) == 0 {
		delete(f.queues, version)
	}
}

// The methods of heap.Interface.

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return before(q[i], q[j]) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push is heap.Interface's.
func (q *queue) Push(x any) {
	t := x.(*ticket)
	t.place = len(*q)
	*q = append(*q, t)
}

// Pop is heap.Interface's.
func (q *queue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	t.place = -1
	return t
}
