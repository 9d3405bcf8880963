//go:build torch

package torch

import (
	"context"
	"fmt"

	"github.com/justrl/justrl/updater"
)

// Supervise does one AdamW update on the mean negative log-likelihood of all
// response tokens (rewards and log-probs are not looked at) and returns that
// mean before the update, in nats a token. It is how a policy is warmed up
// before there is anything to reinforce.
func (t *Trainer) Supervise(ctx context.Context, seqs []updater.Rollout, lr float64) (float64, error) {
	tokens := 0
	list := make([]sequence, len(seqs))
	for i, r := range seqs {
		if err := t.checkIDs(r.PromptTokenIDs, "sequence %d, prompt", i); err != nil {
			return 0, err
		}
		if err := t.checkIDs(r.TokenIDs, "sequence %d, response", i); err != nil {
			return 0, err
		}
		if len(r.PromptTokenIDs) == 0 || len(r.TokenIDs) == 0 {
			return 0, fmt.Errorf("torch: sequence %d has an empty prompt or response", i)
		}
		list[i] = sequence{r.PromptTokenIDs, r.TokenIDs}
		tokens += len(r.TokenIDs)
	}
	loss := 0.0
	err := t.do(func() error {
		defer t.net.dropGrads(t.counter)
		err := t.backward(ctx, packRows(list, t.opt.Update.MaxPackTokens), func(row) objective {
			return objective{gradient: func(_ int, got scores) (grad scores) {
				for _, l := range got.logp {
					loss -= float64(l) / float64(tokens)
					grad.logp = append(grad.logp, -1/float32(tokens))
				}
				return grad
			}}
		})
		if err == nil {
			_, err = t.apply(lr)
		}
		return err
	})
	return loss, err
}
