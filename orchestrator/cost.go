package orchestrator

import (
	"errors"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// forwardFLOPs is what it takes to draw the answers of groups; each is counted
// with its prompt, though a server may run a prompt once for all its answers.
func (r *Run) forwardFLOPs(groups []sampler.Group) (total float64) {
	for _, g := range groups {
		for i := range g.Rollouts {
			total += r.Shape.Forward(len(g.Row.PromptTokenIDs), len(g.Rollouts[i].TokenIDs))
		}
	}
	return total
}

// serverSeconds adds up what the servers were asked since it was asked last.
func serverSeconds(asked []journal.ServerPart) (sum float64) {
	for _, p := range asked {
		sum += p.Seconds
	}
	return sum
}

// samplingCost is what the servers did for a step: what the batch holds, what was
// thrown away, and what earlier processes spent on it.
func (r *Run) samplingCost(step int, b batch, asked []journal.ServerPart) (journal.Cost, error) {
	before, err := r.Journal.SampledBefore(step, b.again)
	if err != nil {
		return journal.Cost{}, err
	}
	c := journal.Cost{ServerSeconds: serverSeconds(asked)}.Add(r.thrown)
	if before.TokensGenerated > 0 { // by the record that it had
		return c.Add(before), nil
	}
	c.TokensGenerated = b.tokens
	c.FLOPsGenerated += b.flops
	if b.drawn != nil {
		c.TokensUnused = b.tokens - int64(responseTokens(b.groups))
	}
	return c.Add(before), nil
}

// thrownAway is what a rollout cost that is taken back, and drawn again.
func (r *Run) thrownAway(o journal.Rollout) journal.Cost {
	return journal.Cost{TokensResampled: int64(len(o.TokenIDs)), FLOPsGenerated: r.Shape.Forward(len(o.PromptTokenIDs), len(o.TokenIDs))}
}

// broken notes what a step took that ended with err before it was recorded. What
// it has sampled stays, and is counted when it is trained on; what was thrown away
// is not, nor is the time.
func (r *Run) broken(step int, err error, c journal.Cost) error {
	s := journal.Spent{Step: step, Why: journal.SpentBroken, Cost: c}
	return withSpent(err, r.Journal.AppendSpent(s))
}

// notTrained is err, which the update of a step ended with, when what the step
// took is noted: all of it where its rollouts are set aside, because the gate
// refused them.
func (r *Run) notTrained(step int, err error, c journal.Cost, asked []journal.ServerPart) error {
	if !errors.Is(err, ErrMismatch) {
		return r.broken(step, err, r.thrown.Add(c.Training()).Add(journal.Cost{ServerSeconds: serverSeconds(asked)}))
	}
	if failed := r.Journal.RefuseRollouts(step); failed != nil {
		return andThen(err, "nor could its rollouts be set aside", failed)
	}
	return withSpent(err, r.Journal.AppendSpent(journal.Spent{Step: step, Why: journal.SpentRefused, Cost: c}))
}

func withSpent(err, failed error) error {
	return andThen(err, "nor could it be noted what that took", failed)
}

// sampledAnew notes, before a step is sampled that was not trained on before, what
// is for nothing: what that step had when it was rewound, whose rollouts are gone
// since, and what later steps had. How many tokens those had that were broken off
// is not known any more.
func (r *Run) sampledAnew(step int) error {
	spent, err := r.Journal.Spent()
	if err != nil {
		return err
	}
	seen := map[int]bool{}
	for _, s := range spent {
		if s.Validation || s.Step < step || seen[s.Step] {
			continue
		}
		seen[s.Step] = true
		was, err := r.Journal.SampledBefore(s.Step, true)
		if err != nil {
			return err
		}
		if s.Step == step && was.TokensGenerated == 0 { // broken off: it goes on
			continue
		}
		if err := r.Journal.AppendSpent(journal.Spent{Step: s.Step, Why: journal.SpentAnew, Cost: was}); err != nil {
			return err
		}
	}
	return nil
}
