package metrics

import (
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
)

// Beyond these a problem's majorities are estimated. Both lie far above the
// paper's 32 answers: 256 answers of which ten differ are still exact.
const (
	mostVotes = 1024    // beyond it C(n, k) leaves the range of a float64
	mostWork  = 1 << 24 // products of the exact sums, some tens of milliseconds
)

// Majority is, for every k from 1 to n, the expected score of the answer that
// most of k answers give, the k drawn without putting back from the problem's n
// (Wang et al., arXiv 2203.11171, vote without weights). Majority(...)[k-1] is
// for k.
//
//   - Equal are answers with the same Vote.
//   - An answer without one does not vote; if no drawn answer votes, the score is 0.
//   - Of answers with equally many votes each wins as often as the others.
//   - The score of an answer is the share of its votes that were found correct:
//     a judge may differ on two responses with the same answer.
//
// With c(v) votes for v, s of its share, it is exact: a sum over all draws, by
// what the winner gets and how many tie with it,
//
//	Σ_v s(v) Σ_j C(c(v), j) Σ_t W(v, j, k-j, t) / (t+1) / C(n, k)
//
// where W counts the draws of k-j others of which t answers get j votes and
// none more. Where that takes too long, orders is not 0: the k are the first
// of so many random orders of the answers, one order serves all k, k = 1 and
// k = n are exact, and the standard error of the others is at most
// √(m(1-m)/orders) for a majority of m. The orders are a fixed function of the
// answers.
func Majority(answers []Answer) (score []float64, orders int) {
	b := newBallot(answers)
	if s, ok := b.certain(); ok {
		return slices.Repeat([]float64{s}, b.n), 0
	}
	if b.n <= mostVotes && b.work() <= mostWork {
		return b.exact(), 0
	}
	orders = min(max(1<<23/b.n, 1<<10), 1<<13)
	return b.estimate(orders), orders
}

// ballot is what answers vote for.
type ballot struct {
	n, silent int
	votes     []string // in order
	count     []int    // of each
	share     []float64
	seed      uint64 // of the answers, whatever their order
}

func newBallot(answers []Answer) *ballot {
	b := &ballot{n: len(answers)}
	count, right := map[string]int{}, map[string]int{}
	for _, a := range answers {
		h := fnv.New64a()
		_, _ = h.Write([]byte(a.Vote)) // a hash takes all
		if a.Correct {
			_, _ = h.Write([]byte{0})
		}
		b.seed += h.Sum64()
		if a.Vote == "" {
			b.silent++
			continue
		}
		count[a.Vote]++
		if a.Correct {
			right[a.Vote]++
		}
	}
	b.votes = slices.Sorted(maps.Keys(count))
	for _, v := range b.votes {
		b.count = append(b.count, count[v])
		b.share = append(b.share, float64(right[v])/float64(count[v]))
	}
	return b
}

// certain tells that every draw scores the same, whoever wins it, and what.
func (b *ballot) certain() (score float64, ok bool) {
	for _, s := range b.share {
		if score = s; s != b.share[0] || b.silent > 0 && s != 0 {
			return 0, false
		}
	}
	return score, true
}

// work is about how many products the exact sums take.
func (b *ballot) work() int {
	work := 0
	for i, c := range b.count {
		if b.share[i] == 0 {
			continue
		}
		for votes := 1; votes <= c; votes++ {
			sizes := b.silent + 1
			for o, size := range b.count {
				if o != i {
					sizes += min(size, votes) + 1
				}
			}
			work += sizes * (b.n - votes + 1) * b.ties(i, votes)
			if work > mostWork {
				return work
			}
		}
	}
	return work
}

// ties is one more than how many of the others can get as many votes.
func (b *ballot) ties(but, votes int) int {
	n := 0
	for o, size := range b.count {
		if o != but && size >= votes {
			n++
		}
	}
	return min(n, (b.n-votes)/votes) + 1
}

func (b *ballot) exact() []float64 {
	score := make([]float64, b.n)
	choose := pascal()
	for i, c := range b.count {
		if b.share[i] == 0 {
			continue
		}
		for votes := 1; votes <= c; votes++ {
			own := choose[c][votes]
			for rest, byTies := range b.draws(i, votes) {
				for ties, w := range byTies {
					score[votes+rest-1] += b.share[i] * own * w / float64(ties+1)
				}
			}
		}
	}
	for k := range score {
		score[k] /= choose[b.n][k+1]
	}
	return score
}

// draws counts the ways to draw others than the vote `but`, none of which may
// get more than votes, and silent ones: by how many were drawn and by how many
// of the others got exactly votes.
func (b *ballot) draws(but, votes int) [][]float64 {
	most, ties, choose := b.n-votes, b.ties(but, votes), pascal()
	ways := make([][]float64, most+1)
	for i := range ways {
		ways[i] = make([]float64, ties)
	}
	ways[0][0] = 1
	next := func(size, limit int, tied bool) {
		// From the largest down, so that what is read is not yet of this group.
		for drawn := most; drawn >= 0; drawn-- {
			for t := ties - 1; t >= 0; t-- {
				sum := 0.0
				for p := 0; p <= min(size, limit, drawn); p++ {
					switch {
					case tied && p == votes && t > 0:
						sum += ways[drawn-p][t-1] * choose[size][p]
					case !tied || p < votes:
						sum += ways[drawn-p][t] * choose[size][p]
					}
				}
				ways[drawn][t] = sum
			}
		}
	}
	for o, size := range b.count {
		if o != but {
			next(size, votes, true)
		}
	}
	next(b.silent, b.silent, false)
	return ways
}

// pascal is his triangle up to mostVotes: C(n, k), to the last bits of a float64.
var pascal = sync.OnceValue(func() [][]float64 {
	c := make([][]float64, mostVotes+1)
	for n := range c {
		c[n] = make([]float64, n+1)
		c[n][0], c[n][n] = 1, 1
		for k := 1; k < n; k++ {
			c[n][k] = c[n-1][k-1] + c[n-1][k]
		}
	}
	return c
})

// estimate is the mean over random orders of who leads after k answers.
func (b *ballot) estimate(orders int) []float64 {
	order := make([]int, 0, b.n) // the vote of each answer; -1 is none
	for i, c := range b.count {
		for range c {
			order = append(order, i)
		}
	}
	for len(order) < b.n {
		order = append(order, -1)
	}
	rng := rand.New(rand.NewPCG(b.seed, uint64(b.n)))
	score, tally := make([]float64, b.n), make([]int, len(b.count))
	for range orders {
		rng.Shuffle(b.n, func(i, j int) { order[i], order[j] = order[j], order[i] })
		clear(tally)
		best, leaders, shares := 0, 1, 0.0
		for k, v := range order {
			if v >= 0 {
				tally[v]++
				switch {
				case tally[v] > best:
					best, leaders, shares = tally[v], 1, b.share[v]
				case tally[v] == best:
					leaders, shares = leaders+1, shares+b.share[v]
				}
			}
			score[k] += shares / float64(leaders)
		}
	}
	for k := range score {
		score[k] /= float64(orders)
	}
	if b.n > 0 {
		score[0], score[b.n-1] = b.one(), b.all()
	}
	return score
}

// one is the majority of one answer, all that of all.
func (b *ballot) one() float64 {
	sum := 0.0
	for i, c := range b.count {
		sum += float64(c) * b.share[i] / float64(b.n)
	}
	return sum
}

func (b *ballot) all() float64 {
	best, leaders, shares := 0, 1, 0.0
	for i, c := range b.count {
		switch {
		case c > best:
			best, leaders, shares = c, 1, b.share[i]
		case c == best:
			leaders, shares = leaders+1, shares+b.share[i]
		}
	}
	return shares / float64(leaders)
}
