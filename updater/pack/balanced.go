package pack

import (
	"cmp"
	"container/heap"
	"slices"
)

// Balanced cuts sequences into as many packs as their tokens fill at a budget
// (rounded up), of nearly equal length, by the k-way differencing method
// (Karmarkar, Karp 1982): the two partial partitions with the largest spread
// are joined, the longest pack of one with the shortest of the other, until
// one is left. It is how verl cuts its dynamic micro-batches, ties included; a
// pack can be over the budget.
//
// The result lists the indices of each pack, ascending; every index occurs
// once. nil for no sequences.
func Balanced(lengths []int, budget int) [][]int {
	total := 0
	for _, n := range lengths {
		total += n
	}
	if len(lengths) == 0 {
		return nil
	}
	k := min(len(lengths), max(1, (total+budget-1)/budget))
	queue := make(partitions, len(lengths))
	for i, n := range lengths {
		queue[i] = make([]bin, k)
		queue[i][0] = bin{n, []entry{{i, n}}}
	}
	heap.Init(&queue)
	for len(queue) > 1 {
		a, b := heap.Pop(&queue).([]bin), heap.Pop(&queue).([]bin)
		for i := range a {
			other := b[k-1-i]
			a[i] = bin{a[i].sum + other.sum, append(a[i].items, other.items...)}
		}
		slices.SortStableFunc(a, func(x, y bin) int { return y.compare(x) })
		heap.Push(&queue, a)
	}
	packs := make([][]int, 0, k)
	for _, b := range queue[0] {
		var pack []int
		for _, e := range b.items {
			pack = append(pack, e.index)
		}
		slices.Sort(pack)
		packs = append(packs, pack)
	}
	return packs
}

type entry struct{ index, length int }

// bin is a pack in the making.
type bin struct {
	sum   int
	items []entry // in the order in which they came
}

func (b bin) compare(c bin) int {
	return cmp.Or(cmp.Compare(b.sum, c.sum), cmp.Compare(len(b.items), len(c.items)),
		slices.CompareFunc(b.items, c.items, func(x, y entry) int {
			return cmp.Or(cmp.Compare(x.index, y.index), cmp.Compare(x.length, y.length))
		}))
}

// partitions is a heap of partial partitions, the largest spread first; the
// bins of each are sorted, the longest first.
type partitions [][]bin

func (p partitions) Len() int { return len(p) }

func (p partitions) Less(i, j int) bool {
	a, b := p[i], p[j]
	last := len(a) - 1
	return cmp.Or(cmp.Compare(b[0].sum-b[last].sum, a[0].sum-a[last].sum), b[0].compare(a[0])) < 0
}

func (p partitions) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *partitions) Push(x any)   { *p = append(*p, x.([]bin)) }
func (p *partitions) Pop() any {
	last := len(*p) - 1
	x := (*p)[last]
	*p = (*p)[:last]
	return x
}
