package metrics

// maxVotes is up to how many answers a problem's majorities are computed exactly.
const maxVotes = 64

// Majority is, for every k from 1 to n, the expected score of the answer that
// most of k answers give, the k drawn without putting back from the problem's n
// (Wang et al., arXiv 2203.11171, vote without weights). It is exact: a sum over
// all draws, not a sample of them. Majority(...)[k-1] is for k.
//
//   - Equal are answers with the same Vote.
//   - An answer without one does not vote; if no drawn answer votes, the score is 0.
//   - Of answers with equally many votes each wins as often as the others.
//   - The score of an answer is the share of its votes that were found correct:
//     a judge may differ on two responses with the same answer.
//
// It is nil for more than 64 answers.
func Majority(answers []Answer) []float64 {
	n := len(answers)
	if n > maxVotes {
		return nil
	}
	count, right := map[string]int{}, map[string]int{}
	silent := 0
	for _, a := range answers {
		if a.Vote == "" {
			silent++
			continue
		}
		count[a.Vote]++
		if a.Correct {
			right[a.Vote]++
		}
	}
	score := make([]float64, n)
	for vote, r := range right {
		var others []int
		for v, c := range count {
			if v != vote {
				others = append(others, c)
			}
		}
		share := float64(r) / float64(count[vote])
		for votes := 1; votes <= count[vote]; votes++ {
			ways := draws(others, silent, votes, n-votes)
			own := choose(count[vote], votes)
			for rest, byTies := range ways {
				for ties, w := range byTies {
					score[votes+rest-1] += share * own * w / float64(ties+1)
				}
			}
		}
	}
	for k := range score {
		score[k] /= choose(n, k+1)
	}
	return score
}

// draws counts the ways to draw up to most answers of others, none of which may
// get more than votes, and of silent ones: by how many were drawn and by how
// many of the others got exactly votes.
func draws(others []int, silent, votes, most int) [][]float64 {
	ways := make([][]float64, most+1)
	ties := most/votes + 1
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
						sum += ways[drawn-p][t-1] * choose(size, p)
					case !tied || p < votes:
						sum += ways[drawn-p][t] * choose(size, p)
					}
				}
				ways[drawn][t] = sum
			}
		}
	}
	for _, size := range others {
		next(size, votes, true)
	}
	next(silent, silent, false)
	return ways
}

var pascal = func() (c [maxVotes + 1][maxVotes + 1]float64) {
	for n := range c {
		c[n][0] = 1
		for k := 1; k <= n; k++ {
			c[n][k] = c[n-1][k-1] + c[n-1][k]
		}
	}
	return c
}()

// choose is C(n, k), to the last bits of a float64.
func choose(n, k int) float64 { return pascal[n][k] }
