package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/orchestrator/journal"
)

// checkpointDue tells whether the boundary that was just recorded is to be saved.
func (r *Run) checkpointDue() bool {
	done, every := r.progress.NextStep, r.Config.Checkpoint.Every
	return r.complete() || every > 0 && done%every == 0
}

// saveBeside begins to write the step boundary that progress describes as a
// checkpoint, and returns: until the next update the weights stay what they are, and
// the updater is idle while that is sampled or validated. [Run.saved] waits for it
// and tells how it went; it comes before the weights change, before the next
// checkpoint, and before Train returns.
func (r *Run) saveBeside(ctx context.Context) {
	write := r.checkpoint()
	r.saving = new(errgroup.Group)
	r.saving.Go(func() error { return write(ctx) })
}

// saved waits for the checkpoint that is being written, if one is, and follows it up.
func (r *Run) saved() error {
	if r.saving == nil {
		return nil
	}
	if err := r.written(); err != nil {
		return err
	}
	return andThen(r.forget(), "nor could the best checkpoint be marked", r.markBest())
}

// written waits for the checkpoint that is being written.
func (r *Run) written() error {
	r.Observer.Phase(r.progress.NextStep-1, "checkpoint") // that it is waited for: it is written beside other phases
	err := r.saving.Wait()
	r.saving = nil
	return err
}

// save writes the step boundary that progress describes as a checkpoint, and
// returns what ends the run: err, unless it is nil, and its own failure.
func (r *Run) save(ctx context.Context, err error) error {
	there := false
	if r.saving != nil { // of this boundary, then; where it fails it is tried again
		there = r.written() == nil
	}
	if !there {
		r.Observer.Phase(r.progress.NextStep-1, "checkpoint")
		if failed := r.checkpoint()(ctx); failed != nil {
			return andThen(err, "nor could the step before be saved", failed)
		}
	}
	if !errors.Is(err, errNotForgotten) { // it would be told twice
		err = andThen(err, "then", r.forget())
	}
	return andThen(err, "nor could the best checkpoint be marked", r.markBest())
}

// andThen is what ends the run, err, and what failed after it, if anything did, as one
// line. A full disk is told once: the other is what it has come to.
func andThen(err error, what string, then error) error {
	if err == nil || then == nil {
		return errors.Join(err, then)
	}
	if atomicdir.IsFull(err) && atomicdir.IsFull(then) {
		return err
	}
	return &alsoError{err, what, then}
}

// alsoError is an error, and what failed because of it or after it.
type alsoError struct {
	err  error
	what string
	then error
}

func (e *alsoError) Error() string   { return fmt.Sprintf("%v; %s: %v", e.err, e.what, e.then) }
func (e *alsoError) Unwrap() []error { return []error{e.err, e.then} }

// checkpoint returns what writes the boundary that progress describes now.
func (r *Run) checkpoint() func(ctx context.Context) error {
	now := r.Now()
	r.progress.WallS += now.Sub(r.since).Seconds()
	r.since = now
	progress, version, c := r.progress, r.live.Version, r.Config.Checkpoint
	return func(ctx context.Context) error {
		return r.Journal.WriteCheckpoint(progress, version, journal.Keep{Newest: c.Keep, Every: c.KeepEvery},
			func(dir string) error { return r.Updater.Export(ctx, dir) },
			func(dir string) error { return r.Updater.SaveState(ctx, dir) })
	}
}

// saveBest saves a boundary that no checkpoint is due at, where it was measured and
// is better than all before: the best is to be there in the end.
func (r *Run) saveBest(ctx context.Context) error {
	done := r.progress.NextStep
	if r.saving != nil || done == 0 || r.validated != done {
		return nil
	}
	if has, err := r.Journal.HasCheckpoint(done); has || err != nil {
		return err
	}
	best, err := r.best(func(steps int) (bool, error) {
		if steps == done {
			return true, nil
		}
		return r.Journal.HasCheckpoint(steps)
	})
	if err == nil && best != nil && best.Steps == done {
		r.saveBeside(ctx)
	}
	return err
}

// markBest marks the best of the checkpoints that are there by validation.
func (r *Run) markBest() error {
	best, err := r.best(r.Journal.HasCheckpoint)
	if err != nil || best == nil {
		return err
	}
	marked, is, err := r.Journal.Best()
	if err != nil || is && marked.Steps == best.Steps && marked.Of == best.Of {
		return err
	}
	return r.Journal.MarkBest(*best)
}

// best is the highest accuracy that was measured after steps of which there says
// that a checkpoint is, the first of several; nil if there is none.
func (r *Run) best(there func(steps int) (bool, error)) (best *journal.Best, err error) {
	measured, err := r.Journal.Validations()
	if err != nil {
		return nil, err
	}
	for _, v := range measured {
		accuracy, of, ok := r.accuracy(v)
		if !ok || v.Steps == 0 || best != nil && accuracy <= best.Accuracy {
			continue
		}
		has, err := there(v.Steps)
		if err != nil {
			return nil, err
		}
		if has {
			best = &journal.Best{Steps: v.Steps, Accuracy: accuracy, Of: of}
		}
	}
	return best, nil
}

// accuracy is what validation.best goes by, and its name; false where the
// measurement does not have the set.
func (r *Run) accuracy(v journal.Validation) (accuracy float64, of string, ok bool) {
	if of = r.Config.Validation.Best; of != "" {
		accuracy, ok = v.Accuracy[of]
		return accuracy, of, ok
	}
	for _, set := range slices.Sorted(maps.Keys(v.Accuracy)) { // in one order: it is compared
		accuracy += v.Accuracy[set]
	}
	return accuracy / float64(max(len(v.Accuracy), 1)), "mean", len(v.Accuracy) > 0
}
