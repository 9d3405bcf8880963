package updater

import (
	"cmp"
	"slices"

	"github.com/justrl/justrl/internal/flops"
)

// FLOPs counts the floating-point operations of a training step on the groups,
// by the formula of internal/flops. Each rollout takes
//
//   - epochs × 3 forward passes: one forward, and a backward that is two. With
//     recompute the layers', but not the head's, forward runs once more, and with
//     ratio: sequence the head's, whose log-probs must all be there before any gradient;
//   - with old_logprobs: recompute one forward, but for the step's first mini-batch,
//     whose old log-probs come from the pass that trains it;
//   - with kl_coef one forward of the reference model, counted as if it had the policy's shape.
//
// 0 for a shape that is not known.
func (c Config) FLOPs(s flops.Shape, groups []Group) (total float64) {
	groups = slices.Clone(groups)
	slices.SortStableFunc(groups, func(a, b Group) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	for i, g := range groups {
		for _, r := range g.Rollouts {
			forward, head := s.Forward(len(r.PromptTokenIDs), len(r.TokenIDs)), s.Head(len(r.TokenIDs))
			epoch := 3 * forward
			if c.Recompute {
				epoch += forward - head
			}
			if c.Ratio == RatioSequence {
				epoch += head
			}
			total += float64(c.Epochs) * epoch
			if c.OldLogprobs == OldLogprobsRecompute && i >= c.MiniBatch {
				total += forward
			}
			if c.KLCoef != 0 {
				total += forward
			}
		}
	}
	return total
}
