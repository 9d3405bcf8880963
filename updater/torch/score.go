//go:build torch

package torch

import (
	"context"
	"fmt"

	"github.com/justrl/justrl/updater"
)

// Score implements updater.Updater.
func (t *Trainer) Score(ctx context.Context, seqs [][]int32, temperature float64) ([]updater.Scores, error) {
	if !(temperature > 0) {
		return nil, fmt.Errorf("torch: the temperature must be more than 0, is %g", temperature)
	}
	split := make([]sequence, len(seqs))
	for i, ids := range seqs {
		if len(ids) < 2 {
			return nil, fmt.Errorf("torch: sequence %d has %d tokens: at least 2 are needed", i, len(ids))
		}
		if err := t.checkIDs(ids, "sequence %d", i); err != nil {
			return nil, err
		}
		split[i] = sequence{ids[:1], ids[1:]}
	}
	var out []updater.Scores
	err := t.do(func() (err error) {
		out, err = t.score(ctx, split, temperature)
		return err
	})
	return out, err
}

// score returns the log-probs and entropies of each sequence's rest.
func (t *Trainer) score(ctx context.Context, seqs []sequence, temperature float64) ([]updater.Scores, error) {
	return t.scoreRows(ctx, &t.net, seqs, packRows(seqs, t.opt.Update.MaxPackTokens), temperature)
}

// scoreRows is score by any network, in given rows, which hold each sequence once.
func (t *Trainer) scoreRows(ctx context.Context, by *network, seqs []sequence, rows []row, temperature float64) ([]updater.Scores, error) {
	out := make([]updater.Scores, len(seqs))
	for i, r := range rows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		got, err := by.score(t.counter, r, temperature)
		if err != nil {
			return nil, t.inPack(rows, i, false, err)
		}
		logp, entropy := split(r, seqs, got.logp), split(r, seqs, got.entropy)
		for i, m := range r.members {
			out[m] = updater.Scores{Logprobs: logp[i], Entropy: entropy[i]}
		}
	}
	return out, nil
}

// checkIDs reports the first id outside the vocabulary; where names the sequence.
func (t *Trainer) checkIDs(ids []int32, where string, args ...any) error {
	for i, id := range ids {
		if id < 0 || int(id) >= t.net.spec.Vocab {
			return fmt.Errorf("torch: %s: token id %d at position %d is outside the vocabulary of %d",
				fmt.Sprintf(where, args...), id, i, t.net.spec.Vocab)
		}
	}
	return nil
}
