package sampler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// batch is what the parts of one call of [Sampler.Continue] share.
type batch struct {
	*Sampler
	ledger  Ledger // nil without one
	version int64
	limit   int // rollouts that may stay unscored
	total   int
	groups  []Group  // with room for every rollout
	scored  [][]bool // which of them are there, and scored

	mu                 sync.Mutex
	unscored, timeouts int
}

func newBatch(s *Sampler, rows []Row, n int, version int64, ledger Ledger) *batch {
	total := len(rows) * n
	b := &batch{
		Sampler: s, ledger: ledger, version: version, total: total,
		limit:  int(s.MaxUnscored*float64(total) + 1e-9), // 0.29 × 100 is 28.999999999999996
		groups: make([]Group, len(rows)), scored: make([][]bool, len(rows)),
	}
	for i, row := range rows {
		b.groups[i], b.scored[i] = Group{Row: row, Rollouts: make([]Rollout, n)}, make([]bool, n)
	}
	return b
}

// result is the groups, without what could not be scored.
func (b *batch) result() []Group {
	for i, g := range b.groups {
		kept := g.Rollouts[:0]
		for j, r := range g.Rollouts {
			if b.scored[i][j] {
				kept = append(kept, r)
			}
		}
		b.groups[i].Rollouts = kept
	}
	return b.groups
}

// score verifies a rollout of group i, shapes and fills in its Score and WeightsVersion
// and enters it into the ledger. scored is false when the verifier failed on every try; err
// is what ends the step: ctx's cause, the ledger's failure, or too many failed rollouts.
func (b *batch) score(ctx context.Context, i int, r *Rollout) (scored bool, err error) {
	row := b.groups[i].Row
	r.WeightsVersion = b.version
	score, verr := b.verify(ctx, r.Text, row.Problem.Answer)
	if verr == nil {
		if b.Shaper != nil {
			score = b.Shaper.Shape(score, len(r.TokenIDs))
		}
		r.Score = score
		if b.ledger != nil { // even when ctx has ended: it is finished, and need not be sampled again
			if err := b.ledger.Add(row, *r); err != nil {
				return false, err
			}
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return false, cause
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	if b.OnRollout != nil {
		b.OnRollout(row, *r, verr)
	}
	if verr == nil {
		return true, nil
	}
	b.unscored++
	if errors.Is(verr, ErrVerifyTimeout) {
		b.timeouts++
		b.groups[i].Timeouts++
	} else {
		b.groups[i].Errors++
	}
	if b.unscored > b.limit {
		return false, &UnscoredError{
			Unscored: b.unscored, Timeouts: b.timeouts, Rollouts: b.total,
			Ordinal: row.Ordinal, ProblemID: row.Problem.ID, Sample: r.Sample, Err: verr,
		}
	}
	return false, nil
}

// verify tries until the verifier answers or takes too long, as it would again;
// the error is that of the last try.
func (b *batch) verify(ctx context.Context, text, truth string) (Score, error) {
	var err error
	for range orDefault(b.VerifyTries, DefaultVerifyTries) {
		var score Score
		if score, err = VerifyWithin(ctx, b.Verifier, orDefault(b.VerifyTimeout, DefaultVerifyTimeout), text, truth); err == nil || ctx.Err() != nil || errors.Is(err, ErrVerifyTimeout) {
			return score, err
		}
	}
	return Score{}, err
}

// VerifyWithin asks a verifier about one pair, for so long at most (0: without a
// limit). An error because that time is up has [ErrVerifyTimeout] in its chain,
// one because ctx has ended is its cause and says nothing about the pair.
func VerifyWithin(ctx context.Context, v Verifier, limit time.Duration, text, truth string) (Score, error) {
	within, cancel := ctx, context.CancelFunc(func() {})
	if limit > 0 {
		within, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: over %s", ErrVerifyTimeout, limit))
	}
	defer cancel()
	score, err := v.Verify(within, text, truth)
	if err != nil && within.Err() != nil && !errors.Is(err, ErrVerifyTimeout) {
		err = context.Cause(within)
	}
	return score, err
}
