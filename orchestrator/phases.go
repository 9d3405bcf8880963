package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/updater"
)

// start takes the weights that the updater holds live, and validates them
// where that is due and was not done.
func (r *Run) start(ctx context.Context) error {
	if err := r.trainingParams().ValidateTraining(); err != nil {
		return err
	}
	if err := r.watchAgain(); err != nil {
		return err
	}
	if err := r.rescoreKept(ctx); err != nil {
		return err
	}
	r.Observer.Phase(r.progress.NextStep-1, "publish")
	err := r.load(ctx, r.progress.NextStep-1, func(ctx context.Context, s bridge.Snapshot) (err error) {
		_, err = r.Bridge.Start(ctx, s)
		return err
	})
	if err != nil {
		return err
	}
	if err := errors.Join(r.validate(ctx), r.halted()); err != nil {
		return err
	}
	return r.markBest() // of a process that was killed before it could
}

// draw takes the step's rows, or with sampling.dynamic one more batch of them, from the stream.
func (r *Run) draw(ctx context.Context) ([]sampler.Row, error) {
	rows := make([]sampler.Row, r.Config.Sampling.Batch)
	for i := range rows {
		if len(r.again) > 0 {
			rows[i], r.again = r.again[0], r.again[1:]
			continue
		}
		row, err := r.Rows.Next(ctx)
		if err != nil {
			return nil, err
		}
		rows[i], r.drawn = row, append(r.drawn, row)
	}
	return rows, nil
}

// trainingParams draws from the policy itself: nothing that would truncate its distribution.
func (r *Run) trainingParams() sampler.Params {
	s := r.Config.Sampling
	return sampler.Params{N: s.N, Temperature: s.Temperature, TopP: 1, TopK: -1, MaxTokens: s.MaxTokens, Logprobs: true}
}

// newSnapshot writes the updater's weights under a version never used before.
func (r *Run) newSnapshot(ctx context.Context, step int) (bridge.Snapshot, error) {
	version, err := r.Journal.ReserveVersion()
	if err != nil {
		return bridge.Snapshot{}, err
	}
	return r.Snapshots.Publish(ctx, version, step)
}

// gate refuses a step whose rollouts were not drawn from the policy that is to
// be trained: its ratios would mean nothing. Once it lets a step pass, weights change.
func (r *Run) gate(m updater.Mismatch) error {
	if err := r.agrees(m); err != nil {
		return err
	}
	r.torn = true
	return nil
}

func (r *Run) agrees(m updater.Mismatch) error {
	g := r.Config.Mismatch
	if m.Tokens == 0 {
		return nil
	}
	hint := fmt.Sprintf("; they differ most at token %d of rollout %d of group %d, by %.3g nats", m.WorstToken, m.WorstRollout, m.WorstGroup, m.WorstLogRatio) +
		"; is the server's dtype the trainer's, and does it report the log-probs of what it samples (--logprobs-mode processed_logprobs when the temperature is not 1)?"
	if g.MaxRatioP50 > 0 && !(m.RatioP50 <= g.MaxRatioP50) {
		return fmt.Errorf("%w: the median ratio is %.4g, mismatch.max_ratio_p50 is %g%s", ErrMismatch, m.RatioP50, g.MaxRatioP50, hint)
	}
	// Three standard errors, so that an honest server's noise does not trip it by chance.
	if g.MaxKL > 0 && !(math.Abs(m.KL) <= g.MaxKL+3*m.KLStdErr) {
		return fmt.Errorf("%w: the KL estimate is %.3g ± %.2g nats, mismatch.max_kl is %g%s", ErrMismatch, m.KL, m.KLStdErr, g.MaxKL, hint)
	}
	return nil
}

// publish takes the step's weights live, and fills in what its record says of that.
func (r *Run) publish(ctx context.Context, step int, rec *journal.Step) error {
	err := r.load(ctx, step, func(ctx context.Context, s bridge.Snapshot) (err error) {
		rec.WeightsSHA256 = s.SHA256
		rec.Canary, err = r.Bridge.Advance(ctx, s)
		return err
	})
	for _, server := range rec.Canary.Servers {
		rec.Load, rec.Prove = max(rec.Load, server.LoadS), max(rec.Prove, server.CanaryS)
	}
	if err != nil {
		err = fmt.Errorf("step %d: %w", step, err)
	}
	return err
}

// load writes the updater's weights as a snapshot and has the bridge take it
// live. The run's version advances only when the servers were seen to serve it.
func (r *Run) load(ctx context.Context, step int, into func(context.Context, bridge.Snapshot) error) error {
	limit := time.Duration(r.Config.Publish.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w (%s)", ErrPublishTimeout, limit))
	defer cancel()
	snapshot, err := r.newSnapshot(ctx, step)
	if err == nil {
		err = into(ctx, snapshot)
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrPublishTimeout) && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	if err == nil {
		r.live = snapshot
	}
	return err
}

// complete tells whether the run has done its steps, or used up its budget: the
// step that goes over it is the last.
func (r *Run) complete() bool {
	budget := r.Config.Budget.Tokens
	return r.progress.NextStep >= r.Config.Steps || budget > 0 && r.progress.Tokens >= budget
}

// record writes the step down; from here on it has happened.
func (r *Run) record(step int, rec *journal.Step, b batch, watch stopwatch) error {
	cursor, err := r.Rows.MarshalCursor()
	if err != nil {
		return err
	}
	rec.Epoch, rec.Dropped = r.Rows.Epoch(), r.Rows.Dropped()
	rec.ServerEvents = r.events()
	countFenced(rec.Servers, rec.ServerEvents)
	rec.Total = watch.total()
	rec.Rate, rec.Ended = float64(rec.Tokens)/max(rec.Total, 1e-9), r.Now().UTC()
	if b.drawn != nil {
		if err := r.Journal.WriteDrawn(step, *b.drawn); err != nil {
			return err
		}
	}
	if err := r.Journal.WriteRollouts(step, forJournal(b.groups)); err != nil {
		return err
	}
	if err := r.Journal.AppendStep(*rec); err != nil {
		return err
	}
	r.progress.NextStep, r.progress.Cursor, r.torn = step+1, cursor, false
	r.progress.Tokens += b.tokens
	r.Observer.StepDone(*rec, r.Config.Steps)
	return nil
}

// errNotForgotten: nothing is lost, but the disk fills.
var errNotForgotten = errors.New("rollouts of old steps could not be removed")

// forget drops the rollouts of all but the newest steps, never those that a run
// resumed from the newest checkpoint, or should that be damaged from the one before
// it, would need to get to where this one is.
func (r *Run) forget() error {
	keep := r.Config.Checkpoint.Rollouts
	if keep == 0 {
		return nil
	}
	needed, err := r.Journal.FallbackStep() // none: everything since step 0
	if err != nil {
		return err
	}
	if err := r.Journal.DropRollouts(min(r.progress.NextStep-keep, needed)); err != nil {
		return fmt.Errorf("%w: %w", errNotForgotten, err)
	}
	return nil
}

// interrupted names a cancellation that was asked for; any other error stays what it
// is, also one of what an interrupted step has to do yet.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	if also := (*alsoError)(nil); errors.As(err, &also) {
		if !errors.Is(also.then, context.Canceled) {
			return fmt.Errorf("%w, %s: %w", errStopped, also.what, also.then)
		}
		return interrupted(ctx, also.err)
	}
	return ErrInterrupted
}

// errStopped is not [ErrInterrupted]: a run that ends with it may not go on by itself.
var errStopped = errors.New("interrupted")
