package sampler

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// Defaults of [Sampler].
const (
	DefaultConcurrency   = 256
	DefaultVerifyTimeout = 30 * time.Second
	DefaultVerifyTries   = 3
)

// Sampler turns rows into scored groups. Its fields are set before the first
// call and not changed after; it is then safe for concurrent use.
type Sampler struct {
	Generator Generator
	Verifier  Verifier
	// Shaper, when set, shapes the score of every rollout that the Verifier has
	// scored; nil is JustRL's: the verifier's reward as it is.
	Shaper Shaper
	// Concurrency is the number of rows asked for at a time, each one request
	// for all its samples; 0 is 256, a whole batch of the paper. Below 0 there is
	// no bound, for a Generator that has a queue of its own, such as a fleet: it
	// can put the longest first, and share out the end of a batch, only if it has
	// all of it. (A slow verifier then holds nothing back.)
	Concurrency int
	// Lengths, when set, tells how long answers will be: rows begin in that
	// order, the longest first, and requests say it. nil is the order of the rows.
	Lengths Lengths
	// VerifyConcurrency is the number of rollouts verified at a time; 0 is the number of CPUs.
	VerifyConcurrency int
	// VerifyTimeout bounds one call of the Verifier; 0 is 30 s.
	VerifyTimeout time.Duration
	// VerifyTries is how often a rollout is verified when the Verifier fails, the first included; 0 is 3.
	// One that took too long ([ErrVerifyTimeout]) is not tried again.
	VerifyTries int
	// MaxUnscored is the share of a step's rollouts, in [0, 1), that the
	// Verifier may fail on (every try) before the step fails; 0 lets none
	// fail. A failed rollout is never a wrong answer: it is left out of its
	// group, so that it is not trained on, and reported to OnRollout.
	MaxUnscored float64
	// OnRollout, when set, is told of every rollout as soon as it is scored,
	// in completion order, those that a ledger knew first; err is the
	// verifier's where it could not be. Calls never overlap.
	OnRollout func(row Row, r Rollout, err error)
}

// UnscoredError says that a verifier failed on too many rollouts of a step.
type UnscoredError struct {
	Unscored, Rollouts int // how many could not be scored, of how many in the step
	Timeouts           int // of Unscored, those that took too long
	Ordinal            int64
	ProblemID          string
	Sample             int
	Err                error // the verifier's, on the rollout that went over the limit
}

func (e *UnscoredError) Error() string {
	return fmt.Sprintf("verifier failed on %d of the step's %d rollouts (errors %d, time-outs %d), over the limit; the last is row %d (problem %s) sample %d: %v",
		e.Unscored, e.Rollouts, e.Unscored-e.Timeouts, e.Timeouts, e.Ordinal, e.ProblemID, e.Sample, e.Err)
}

func (e *UnscoredError) Unwrap() error { return e.Err }

// SeedFunc gives the base seed of a row.
type SeedFunc func(Row) int64

// StepSeeds is the SeedFunc of one training step: [RowSeed] of each row.
func StepSeeds(runSeed int64, step int) SeedFunc {
	return func(r Row) int64 { return RowSeed(runSeed, step, r.Ordinal) }
}

// Sample asks for p.N rollouts of every row and scores them. It returns one
// group a row, in the order of rows whatever the order of completion, each
// with p.N rollouts in the order of their sample index (fewer only as
// [Sampler.MaxUnscored] allows). version becomes every rollout's
// WeightsVersion: the caller knows which weights are live.
//
// It blocks until all rows are done. The first failure ends every other
// request, on the server too, and is returned with its row; there are no
// partial results. When ctx ends, ctx's cause is returned.
func (s *Sampler) Sample(ctx context.Context, rows []Row, p Params, seed SeedFunc, version int64) ([]Group, error) {
	return s.Continue(ctx, rows, p, seed, version, nil)
}

// Continue is [Sampler.Sample] with a ledger (nil is none): what that knows is
// taken as it is, its own WeightsVersion included, only what is missing is
// asked for, and every rollout is in the ledger before it counts. A rollout
// that the verifier failed on never is. What was finished when a failure or the
// end of ctx broke the batch off is in the ledger too.
func (s *Sampler) Continue(ctx context.Context, rows []Row, p Params, seed SeedFunc, version int64, ledger Ledger) ([]Group, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("sampling parameters: %w", err)
	}
	b := newBatch(s, rows, p.N, version, ledger)
	asks, err := b.restore()
	if err != nil {
		return nil, err
	}
	// The first failure is the cause that ends everything else.
	work, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var generate, verify errgroup.Group
	generate.SetLimit(concurrency(s.Concurrency))
	verify.SetLimit(orDefault(s.VerifyConcurrency, runtime.GOMAXPROCS(0)))

	b.longestFirst(asks)
	for _, a := range asks {
		if work.Err() != nil {
			break
		}
		generate.Go(func() error {
			if work.Err() != nil {
				return nil // it waited for a slot that a failure freed
			}
			row, rollouts := rows[a.row], b.groups[a.row].Rollouts[a.first:a.first+a.count]
			if err := s.generate(work, Request{
				PromptTokenIDs: row.PromptTokenIDs, Params: p, Seed: seed(row), First: a.first, Count: a.count, Version: version, Expected: a.expected,
			}, rollouts); err != nil {
				fail(fmt.Errorf("sample row %d (problem %s): %w", row.Ordinal, row.Problem.ID, err))
				return nil
			}
			for j := range rollouts {
				b.observe(row, rollouts[j])
				// Blocks while the pool is full: a slow verifier holds the sampling back.
				verify.Go(func() error {
					scored, err := b.score(work, a.row, &rollouts[j])
					if err != nil {
						fail(err)
					}
					b.scored[a.row][a.first+j] = scored
					return nil
				})
			}
			return nil
		})
	}
	_ = generate.Wait() // failures went to fail
	_ = verify.Wait()
	if cause := context.Cause(work); cause != nil {
		return nil, cause
	}
	return b.result(), nil
}

// generate fills into with the samples that r asks for.
func (s *Sampler) generate(ctx context.Context, r Request, into []Rollout) error {
	if err := r.Validate(); err != nil {
		return err
	}
	rollouts, err := s.Generator.Generate(ctx, r)
	if err != nil {
		return err
	}
	if len(rollouts) != r.Count {
		return fmt.Errorf("generator returned %d rollouts of %d", len(rollouts), r.Count)
	}
	for j, o := range rollouts {
		if o.Sample != r.First+j {
			return fmt.Errorf("generator returned sample %d in the place of sample %d", o.Sample, r.First+j)
		}
	}
	copy(into, rollouts)
	return nil
}

// concurrency is the errgroup's limit, for which below 0 is none too.
func concurrency(c int) int {
	if c < 0 {
		return -1
	}
	return orDefault(c, DefaultConcurrency)
}

func orDefault[T int | time.Duration](x, d T) T {
	if x > 0 {
		return x
	}
	return d
}
