package metrics

import (
	"cmp"
	"slices"
)

// Part is the figures of those problems that have something in common.
type Part struct {
	Key       string   `json:"key"`
	Problems  int      `json:"problems"`
	Answers   int      `json:"answers"`
	MeanScore float64  `json:"mean_score"`
	In95      Interval `json:"mean_score_95"`
	BestScore float64  `json:"best_score"`
}

// Breakdown parts problems by a key of their id, such as a column of the set,
// and sorts the parts by it. A problem whose key is not known is left out.
func Breakdown(problems []Problem, key func(id int) (string, bool), seed uint64) []Part {
	groups := map[string][]Problem{}
	for _, p := range problems {
		if k, ok := key(p.ID); ok {
			groups[k] = append(groups[k], p)
		}
	}
	parts := make([]Part, 0, len(groups))
	for k, group := range groups {
		part := Part{Key: k, Problems: len(group)}
		rates := make([]float64, len(group))
		for i, p := range group {
			rates[i] = p.SolveRate()
			part.Answers += len(p.Answers)
			part.MeanScore += rates[i] / float64(len(group))
			if rates[i] > 0 {
				part.BestScore += 1 / float64(len(group))
			}
		}
		part.In95 = intervals(column(rates), seed)[0]
		parts = append(parts, part)
	}
	slices.SortFunc(parts, func(a, b Part) int { return cmp.Compare(a.Key, b.Key) })
	return parts
}

// Difficulty is the key of Breakdown by how often a reference model solves a
// problem: never, in up to a quarter of its answers, a half, three quarters,
// more, always. In this order the keys sort.
func Difficulty(reference map[int]float64) func(id int) (string, bool) {
	return func(id int) (string, bool) {
		rate, ok := reference[id]
		switch {
		case !ok:
			return "", false
		case rate <= 0:
			return "0", true
		case rate <= 0.25:
			return "0-0.25", true
		case rate <= 0.5:
			return "0.25-0.5", true
		case rate <= 0.75:
			return "0.5-0.75", true
		case rate < 1:
			return "0.75-1", true
		}
		return "1", true
	}
}
