// Package orchestrator is the training run: the only place that knows the
// sampler, the updater and the bridge. A [Run] draws rows, has them sampled and
// scored, trains on the groups, takes the new weights live in the servers and
// writes down what happened, step after step.
//
// JustRL's presets (justrl-deepseek-1.5b, justrl-nemotron-1.5b and tiny-cpu) do
// without what other recipes add, and that is the point of them: no dynamic
// sampling (a group of equal rewards is trained on and stays in the token count),
// no reward but the verifier's, no KL term and no reference model. For baselines,
// and for justrl-overlong, the paper's ablation, there is sampling.dynamic and
// reward.overlong_buffer, both off, and what package updater has. Deliberately
// absent altogether: stages, curricula, and rollouts that are older than one step.
package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/flops"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/orchestrator/monitor"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/updater"
)

// What [Run.Train] can end with, beside the errors of the parts.
var (
	// ErrInterrupted follows a clean stop: everything up to a step boundary is
	// in a checkpoint, and the run can be resumed.
	ErrInterrupted = errors.New("interrupted")
	// ErrStepsDone: a resumed run has gone further than it is to go. Nothing has changed.
	ErrStepsDone = errors.New("the run has gone further")
	// ErrMismatch: the server's log-probs are not the trainer's. No weight has changed.
	ErrMismatch = errors.New("server and trainer disagree about the log-probs of the rollouts")
	// ErrTooFewGroups: sampling.dynamic has drawn sampling.max_batches batches for
	// one step, and too few rows had answers of both kinds. No weight has changed.
	ErrTooFewGroups = errors.New("too few groups to learn from")
	// ErrPublishTimeout: a load, canary included, took longer than publish.timeout.
	ErrPublishTimeout = errors.New("the server did not take the weights in time; look at its log, or raise publish.timeout")
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

// Sampler turns rows into scored groups, in the order of the rows. Continue
// keeps each rollout in a ledger, and asks only for what that does not know.
type Sampler interface {
	Sample(ctx context.Context, rows []sampler.Row, p sampler.Params, seed sampler.SeedFunc, version int64) ([]sampler.Group, error)
	Continue(ctx context.Context, rows []sampler.Row, p sampler.Params, seed sampler.SeedFunc, version int64, known sampler.Ledger) ([]sampler.Group, error)
}

// Bridge takes snapshots live. Start does so before the first step and
// measures the noise between server and trainer; Advance after each step.
// Neither returns nil before a server has been seen to serve the snapshot, and
// none that was not is sampled from. Check, after sampling, makes sure that they
// still serve it, and names those that did not: what they sampled is drawn again.
type Bridge interface {
	Start(ctx context.Context, s bridge.Snapshot) (bridge.Report, error)
	Check(ctx context.Context) (others []string, err error)
	Advance(ctx context.Context, s bridge.Snapshot) (bridge.Report, error)
}

// Snapshotter writes the updater's current weights as a complete snapshot folder.
type Snapshotter interface {
	Publish(ctx context.Context, version int64, step int) (bridge.Snapshot, error)
}

// HeldOut is one set of validation rows.
type HeldOut struct {
	Name string
	Rows []sampler.Row
}

// Observer is told what the run is doing. Its methods must not block for long.
type Observer interface {
	// Phase: step has entered "sample", "update", "publish", "validate" or
	// "checkpoint"; with sampling.dynamic "sample" comes once a batch. In "paused" it
	// waits, until somebody lets it go on.
	Phase(step int, phase string)
	// StepDone: a step has been recorded.
	StepDone(s journal.Step, steps int)
	// Validated: accuracy on a held-out set before the first step (step -1) or
	// after a step; sampled is that at the training temperature, nil where it is
	// not measured.
	Validated(step int, set string, accuracy float64, sampled *float64)
	// Event: the run has noticed something about itself, and recorded it.
	Event(e journal.Event)
	// Notice: something that a person should know and need not act on, in one line
	// without its end: what was found damaged, and what is done about it.
	Notice(format string, args ...any)
}

// Run is one training run, wired but not started. All fields are needed but
// HeldOut, Validator, Verifier, Other, Servers, Shape and Resumed; internal/cli opens them and closes them.
// Export and SaveState are called while rows are sampled, when Bridge may score.
type Run struct {
	Config    config.Config
	Rows      Rows
	Sampler   Sampler
	Validator Sampler          // of held-out rows, whose rewards are not shaped; nil is Sampler
	Verifier  sampler.Verifier // training's own, unshaped, to score kept answers again; nil is never
	Other     sampler.Verifier // the other of the strict box and the rule grader, to compare with; nil is never
	Updater   updater.Updater
	Snapshots Snapshotter
	Bridge    Bridge
	Journal   *journal.Dir
	HeldOut   []HeldOut
	Observer  Observer
	Servers   Servers
	Shape     flops.Shape      // of the model, for what a step costs; zero counts no FLOPs
	Now       func() time.Time // time.Now
	// Resumed, where an earlier process began the run, is what [Run.Resume] writes into
	// resumes.jsonl, beside the step and the checkpoints that it fills in itself.
	Resumed *journal.Resume

	progress  journal.Progress
	since     time.Time       // what progress.WallS does not hold yet began here
	validated int             // steps done at the last validation; -1 before the first
	live      bridge.Snapshot // what the servers serve
	drawn     []sampler.Row   // of the step that is being sampled, so far
	again     []sampler.Row   // of these, what is to be drawn once more
	saving    *errgroup.Group // a checkpoint that is being written
	thrown    journal.Cost    // of the step: sampled, and thrown away since
	torn      bool            // the weights are past the boundary that progress describes
	monitor   *monitor.Monitor
	fixed     []journal.Fixed // kept answers; nil before it is known which
	stopped   *StopError      // what the monitor has found to end the run for
	pausing   bool            // … or to wait for, which has been told
}

// Train runs the steps that are left, or those that budget.tokens leaves room
// for, and returns the summary. Cancelling ctx
// stops it at a step boundary: a step that is still sampling is given up, one
// that has begun to train is finished, then a checkpoint is written and
// ErrInterrupted returned. On any other failure the last step boundary is
// saved too, unless it was lost half-way through an update. A checkpoint that is
// due is written while the next step is sampled; that it failed ends the run before
// the weights change.
func (r *Run) Train(ctx context.Context) (journal.Summary, error) {
	r.since = r.Now()
	firm := context.WithoutCancel(ctx) // for work that must not stop half-way
	if err := r.start(ctx); err != nil {
		return journal.Summary{}, interrupted(ctx, err)
	}
	for !r.complete() {
		if err := r.wait(ctx); err != nil {
			return journal.Summary{}, r.save(firm, interrupted(ctx, err))
		}
		err := r.step(ctx, r.progress.NextStep)
		if r.torn {
			return journal.Summary{}, err
		}
		if err == nil {
			err = r.halted()
		}
		if err == nil && !r.complete() {
			err = ctx.Err()
		}
		if err != nil {
			return journal.Summary{}, r.save(firm, interrupted(ctx, err))
		}
		if r.checkpointDue() {
			r.saveBeside(firm)
		}
		if err := errors.Join(r.validate(ctx), r.halted()); err != nil {
			return journal.Summary{}, r.save(firm, interrupted(ctx, err))
		}
		if err := r.saveBest(firm); err != nil {
			return journal.Summary{}, r.save(firm, err)
		}
	}
	return r.finish()
}

// step is the whole of JustRL: sample, reward, train, publish, record.
func (r *Run) step(ctx context.Context, step int) error {
	firm := context.WithoutCancel(ctx)
	watch := startStopwatch(r.Now)
	rec := journal.Step{Step: step}

	r.Observer.Phase(step, "sample")
	_ = r.asked() // what the validation before asked for is no step's
	b, err := r.sample(ctx, step)
	asked := r.asked()
	if err != nil {
		return r.broken(step, err, r.thrown.Add(journal.Cost{ServerSeconds: serverSeconds(asked)}))
	}
	if rec.Cost, err = r.samplingCost(step, b, asked); err != nil {
		return err
	}
	describe(&rec, b.groups, r.Config.Sampling.MaxTokens)
	rec.Drawn, rec.Unscored, rec.Servers, rec.Sample = b.drawn, b.failed, parts(b.groups, asked), watch.lap()
	if err := r.look(ctx, &rec, b.groups); err != nil {
		return r.notTrained(step, err, rec.Cost, asked)
	}
	rec.Look = watch.lap()
	if err := r.saved(); err != nil { // the checkpoint of the step before: the weights change next
		return r.notTrained(step, err, rec.Cost, asked)
	}
	rec.Checkpoint = watch.lap()
	if err := ctx.Err(); err != nil { // what was looked at may be cut short, and nothing has changed yet
		return r.notTrained(step, err, rec.Cost, asked)
	}

	r.Observer.Phase(step, "update")
	groups := forUpdater(b.groups)
	result, err := r.Updater.Step(firm, step, groups, r.gate)
	rec.Update = watch.lap()
	rec.TrainerSeconds = rec.Update
	if err != nil {
		return fmt.Errorf("step %d: %w", step, r.notTrained(step, err, rec.Cost, asked))
	}
	trained(&rec, result)
	rec.FLOPsTrained = r.Config.Update.FLOPs(r.Shape, groups)

	r.Observer.Phase(step, "publish")
	err = r.publish(firm, step, &rec)
	rec.Publish = watch.lap()
	// Trained but not live is worth keeping too, for the resumed run to publish.
	if failed := r.record(step, &rec, b, watch); failed != nil {
		return andThen(err, "nor could the step be recorded", failed)
	}
	err = andThen(err, "nor could it be recorded what the monitor finds in the step", r.notice(r.monitor.Step(rec)))
	return andThen(err, "then", r.forget())
}
