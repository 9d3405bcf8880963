package report

import (
	"cmp"
	"slices"

	"github.com/justrl/justrl/orchestrator/journal"
)

// perKind is how many rollouts with, and how many without, a reward above 0 an excerpt shows.
const perKind = 2

// excerpt is some of a training step's rollouts: what the page shows where no
// answers to held-out problems were kept.
type excerpt struct {
	step            int                   // counted from 0
	total, rewarded int                   // rollouts; those with a reward above 0
	examples        []journal.RolloutText // the most reward first
}

// readExcerpts takes the first and the last step whose rollouts are kept.
func readExcerpts(path string) ([]excerpt, error) {
	steps, err := journal.RolloutSteps(path)
	if err != nil || len(steps) == 0 {
		return nil, err
	}
	var all []excerpt
	for _, step := range slices.Compact([]int{steps[0], steps[len(steps)-1]}) {
		e, err := readExcerpt(path, step)
		if err != nil {
			return nil, err
		}
		if e.total > 0 {
			all = append(all, e)
		}
	}
	return all, nil
}

// readExcerpt takes the first rollouts of each kind, one a problem.
func readExcerpt(path string, step int) (excerpt, error) {
	e := excerpt{step: step}
	taken := map[string]bool{}
	left := map[bool]int{true: perKind, false: perKind}
	for r, err := range journal.RolloutTexts(path, step) {
		if err != nil {
			return e, err
		}
		rewarded := r.Reward > 0
		e.total++
		if rewarded {
			e.rewarded++
		}
		if left[rewarded] > 0 && !taken[r.ProblemID] {
			left[rewarded]--
			taken[r.ProblemID] = true
			e.examples = append(e.examples, r)
		}
	}
	slices.SortStableFunc(e.examples, func(a, b journal.RolloutText) int { return cmp.Compare(b.Reward, a.Reward) })
	return e, nil
}
