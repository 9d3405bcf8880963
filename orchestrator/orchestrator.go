// Package orchestrator is the training run: the only place that knows the
// sampler, the updater and the bridge. A [Run] draws rows, has them sampled and
// scored, trains on the groups, takes the new weights live in the servers and
// writes down what happened, step after step.
//
// Deliberately absent, as in the recipe: a reference model, a KL term, stages,
// curricula, dynamic sampling, and rollouts that are older than one step.
package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/updater"
)

// What [Run.Train] can end with, beside the errors of the parts.
var (
	// ErrInterrupted follows a clean stop: everything up to a step boundary is
	// in a checkpoint, and the run can be resumed.
	ErrInterrupted = errors.New("interrupted")
	// ErrMismatch: the server's log-probs are not the trainer's.
	ErrMismatch = errors.New("server and trainer disagree about the log-probs of the rollouts")
)

// Rows is the stream of training rows. It never ends before the run does: it
// begins another epoch, or returns an error.
type Rows interface {
	Next(ctx context.Context) (sampler.Row, error)
	// MarshalCursor returns the position after the last row that Next gave.
	MarshalCursor() ([]byte, error)
	Epoch() int
	// Dropped counts the rows left out since the start because their prompt was too long.
	Dropped() int64
}

// Sampler turns rows into scored groups, in the order of the rows.
type Sampler interface {
	Sample(ctx context.Context, rows []sampler.Row, p sampler.Params, seed sampler.SeedFunc, version int64) ([]sampler.Group, error)
}

// Bridge takes snapshots live. Start does so before the first step and
// measures the noise between server and trainer; Advance after each step.
// Neither returns nil before the servers have been seen to serve the snapshot.
type Bridge interface {
	Start(ctx context.Context, s bridge.Snapshot) (bridge.Report, error)
	Advance(ctx context.Context, s bridge.Snapshot) (bridge.Report, error)
}

// Publisher writes the updater's current weights as a complete snapshot folder.
type Publisher interface {
	Publish(ctx context.Context, version int64, step int) (bridge.Snapshot, error)
}

// HeldOut is one set of validation rows.
type HeldOut struct {
	Name string
	Rows []sampler.Row
}

// Observer is told what the run is doing. Its methods must not block for long.
type Observer interface {
	// Phase: step has entered "sample", "update", "publish", "validate" or "checkpoint".
	Phase(step int, phase string)
	// StepDone: a step has been recorded.
	StepDone(s journal.Step, steps int)
	// Validated: accuracy on a held-out set before the first step (step -1) or after a step.
	Validated(step int, set string, accuracy float64)
}

// Run is one training run, wired but not started. All fields are needed but
// HeldOut; internal/cli opens them and closes them.
type Run struct {
	Config    config.Config
	Rows      Rows
	Sampler   Sampler
	Updater   updater.Updater
	Publisher Publisher
	Bridge    Bridge
	Journal   *journal.Dir
	HeldOut   []HeldOut
	Observer  Observer
	Now       func() time.Time // time.Now

	progress journal.Progress
	live     bridge.Snapshot // what the servers serve
	torn     bool            // the weights are past the boundary that progress describes
}

// Train runs the steps that are left and returns the summary. Cancelling ctx
// stops it at a step boundary: a step that is still sampling is given up, one
// that has begun to train is finished, then a checkpoint is written and
// ErrInterrupted returned. On any other failure the last step boundary is
// saved too, unless it was lost half-way through an update.
func (r *Run) Train(ctx context.Context) (journal.Summary, error) {
	began := r.Now()
	firm := context.WithoutCancel(ctx) // for work that must not stop half-way
	if err := r.start(ctx); err != nil {
		return journal.Summary{}, interrupted(ctx, err)
	}
	for step := r.progress.NextStep; step < r.Config.Steps; step++ {
		err := r.step(ctx, step)
		if r.torn {
			return journal.Summary{}, err
		}
		if err == nil && ctx.Err() == nil && !r.checkpointDue(step+1) {
			continue
		}
		r.progress.WallS += r.Now().Sub(began).Seconds()
		began = r.Now()
		saved := r.checkpoint(firm)
		switch {
		case saved != nil && err != nil:
			return journal.Summary{}, fmt.Errorf("%w; nor could the step before be saved: %w", interrupted(ctx, err), saved)
		case saved != nil:
			return journal.Summary{}, saved
		case ctx.Err() != nil && r.progress.NextStep < r.Config.Steps:
			return journal.Summary{}, ErrInterrupted
		case err != nil:
			return journal.Summary{}, err
		}
	}
	return r.finish()
}

// step is the whole of JustRL: sample, reward, train, publish, record.
func (r *Run) step(ctx context.Context, step int) error {
	firm := context.WithoutCancel(ctx)
	watch := startStopwatch(r.Now)
	rec := journal.Step{Step: step, WeightsVersion: r.live.Version}

	r.Observer.Phase(step, "sample")
	rows, err := r.draw(ctx)
	if err != nil {
		return err
	}
	groups, err := r.Sampler.Sample(ctx, rows, r.trainingParams(), sampler.StepSeeds(r.Config.Seed, step), r.live.Version)
	if err != nil {
		return err
	}
	if r.Config.Reward.ShuffleControl {
		shuffleRewards(groups, r.Config.Seed, step)
	}
	describe(&rec, groups, r.Config.Sampling.MaxTokens)
	rec.Sample = watch.lap()

	r.Observer.Phase(step, "update")
	r.torn = true
	result, err := r.Updater.Step(firm, step, forUpdater(groups))
	if err != nil {
		return fmt.Errorf("step %d: %w", step, err)
	}
	if err := r.gate(step, result.Mismatch); err != nil {
		return err
	}
	rec.Updates, rec.UpdateMetrics, rec.Mismatch = result.Updates, meanUpdate(result.Updates), result.Mismatch
	rec.Update = watch.lap()

	r.Observer.Phase(step, "publish")
	rec.Canary, err = r.publish(firm, step)
	rec.Publish = watch.lap()
	if err != nil { // trained but not live: worth keeping, for the resumed run to publish
		return errors.Join(err, r.record(step, rec, groups, watch))
	}

	if r.validationDue(step + 1) {
		rec.Validation, err = r.validate(firm, step)
		if err != nil {
			return err
		}
		rec.Validate = watch.lap()
	}
	return r.record(step, rec, groups, watch)
}
