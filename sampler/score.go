package sampler

import (
	"context"
	"fmt"
	"sync"
)

// batch is what the verifications of one call of [Sampler.Sample] share.
type batch struct {
	*Sampler
	version int64
	limit   int // rollouts that may stay unscored
	total   int

	mu       sync.Mutex
	unscored int
}

// score verifies r and fills in its Score and WeightsVersion. failed tells
// that the verifier failed on every try; err is what ends the step: ctx's
// cause, or too many failed rollouts.
func (b *batch) score(ctx context.Context, row Row, r *Rollout) (failed bool, err error) {
	r.WeightsVersion = b.version
	score, verr := b.verify(ctx, r.Text, row.Problem.Answer)
	if cause := context.Cause(ctx); cause != nil {
		return false, cause
	}
	r.Score = score

	b.mu.Lock()
	defer b.mu.Unlock()
	if b.OnRollout != nil {
		b.OnRollout(row, *r, verr)
	}
	if verr == nil {
		return false, nil
	}
	b.unscored++
	if b.unscored > b.limit {
		return true, &UnscoredError{
			Unscored: b.unscored, Rollouts: b.total,
			Ordinal: row.Ordinal, ProblemID: row.Problem.ID, Sample: r.Sample, Err: verr,
		}
	}
	return true, nil
}

// verify tries until the verifier answers; the error is that of the last try.
func (b *batch) verify(ctx context.Context, text, truth string) (Score, error) {
	var err error
	for range orDefault(b.VerifyTries, DefaultVerifyTries) {
		var score Score
		if score, err = b.verifyOnce(ctx, text, truth); err == nil || ctx.Err() != nil {
			return score, err
		}
	}
	return Score{}, err
}

func (b *batch) verifyOnce(ctx context.Context, text, truth string) (Score, error) {
	limit := orDefault(b.VerifyTimeout, DefaultVerifyTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("verifier took over %s", limit))
	defer cancel()
	score, err := b.Verifier.Verify(ctx, text, truth)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return score, err
}
