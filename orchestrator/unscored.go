package orchestrator

import (
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// unscored adds up what the verifier failed on; nil for nothing.
func unscored(groups []sampler.Group) *journal.Unscored {
	var u journal.Unscored
	for _, g := range groups {
		u.Errors += g.Errors
		u.Timeouts += g.Timeouts
	}
	if u == (journal.Unscored{}) {
		return nil
	}
	return &u
}

// comparable is the groups without those in which fewer than two rollouts could
// be scored: an advantage compares, and one alone would be trained on as it is.
func comparable(groups []sampler.Group) (kept []sampler.Group) {
	for _, g := range groups {
		if len(g.Rollouts) > 1 {
			kept = append(kept, g)
		}
	}
	return kept
}

// mayLack is how many of a step's rollouts may be unscored, as the sampler counts them.
func (r *Run) mayLack(rows int) int {
	return int(r.Config.Reward.MaxUnscored*float64(rows*r.Config.Sampling.N) + 1e-9)
}
