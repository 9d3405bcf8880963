package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/updater"
)

// start takes the weights that the updater holds live and validates them once.
func (r *Run) start(ctx context.Context) error {
	if r.progress.Validation == nil {
		r.progress.Validation = map[string]journal.FirstAndLast{}
	}
	r.Observer.Phase(r.progress.NextStep-1, "publish")
	snapshot, err := r.newSnapshot(ctx, r.progress.NextStep-1)
	if err != nil {
		return err
	}
	if _, err := r.Bridge.Start(ctx, snapshot); err != nil {
		return err
	}
	r.live = snapshot
	if r.progress.NextStep > 0 {
		return nil
	}
	_, err = r.validate(ctx, -1)
	return err
}

// draw takes the step's rows from the stream.
func (r *Run) draw(ctx context.Context) ([]sampler.Row, error) {
	rows := make([]sampler.Row, r.Config.Sampling.Batch)
	for i := range rows {
		row, err := r.Rows.Next(ctx)
		if err != nil {
			return nil, err
		}
		rows[i] = row
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
	return r.Publisher.Publish(ctx, version, step)
}

// gate refuses a step whose rollouts were not drawn from the policy that was
// trained: its ratios would mean nothing.
func (r *Run) gate(step int, m updater.Mismatch) error {
	g := r.Config.Mismatch
	if m.Tokens == 0 {
		return nil
	}
	hint := "; is the server's dtype the trainer's, and does it report the log-probs of what it samples (--logprobs-mode processed_logprobs when the temperature is not 1)?"
	if g.MaxRatioP50 > 0 && !(m.RatioP50 <= g.MaxRatioP50) {
		return fmt.Errorf("step %d: %w: the median ratio is %.4g, mismatch.max_ratio_p50 is %g%s", step, ErrMismatch, m.RatioP50, g.MaxRatioP50, hint)
	}
	if g.MaxKL > 0 && !(math.Abs(m.KL) <= g.MaxKL) {
		return fmt.Errorf("step %d: %w: the KL estimate is %.3g nats, mismatch.max_kl is %g%s", step, ErrMismatch, m.KL, g.MaxKL, hint)
	}
	return nil
}

// publish takes the step's weights live. The run's version advances only when
// the bridge has seen the servers serve them.
func (r *Run) publish(ctx context.Context, step int) (bridge.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.Config.Publish.Timeout))
	defer cancel()
	snapshot, err := r.newSnapshot(ctx, step)
	if err != nil {
		return bridge.Report{}, err
	}
	report, err := r.Bridge.Advance(ctx, snapshot)
	if err != nil {
		return report, fmt.Errorf("step %d: %w", step, err)
	}
	r.live = snapshot
	return report, nil
}

// validationSeedStep is no training step, so that no validation shares a stream with one.
const validationSeedStep = -1

// validate measures accuracy on every held-out set. Its seeds depend on
// nothing but the run's, so that one measurement can be compared with another.
func (r *Run) validate(ctx context.Context, step int) (map[string]float64, error) {
	if len(r.HeldOut) == 0 {
		return nil, nil
	}
	r.Observer.Phase(step, "validate")
	v := r.Config.Validation
	params := sampler.Params{N: v.N, Temperature: v.Temperature, TopP: v.TopP, TopK: -1, MaxTokens: v.MaxTokens}
	seeds := sampler.StepSeeds(r.Config.Seed, validationSeedStep)
	accuracy := map[string]float64{}
	for _, set := range r.HeldOut {
		groups, err := r.Sampler.Sample(ctx, set.Rows, params, seeds, r.live.Version)
		if err != nil {
			return nil, fmt.Errorf("validate on %s: %w", set.Name, err)
		}
		accuracy[set.Name] = correctShare(groups)
		past, seen := r.progress.Validation[set.Name]
		if !seen {
			past.First = accuracy[set.Name]
		}
		past.Last = accuracy[set.Name]
		r.progress.Validation[set.Name] = past
		r.Observer.Validated(step, set.Name, accuracy[set.Name])
	}
	return accuracy, nil
}

func (r *Run) validationDue(done int) bool {
	every := r.Config.Validation.Every
	return len(r.HeldOut) > 0 && (done == r.Config.Steps || every > 0 && done%every == 0)
}

func (r *Run) checkpointDue(done int) bool {
	every := r.Config.Checkpoint.Every
	return done == r.Config.Steps || every > 0 && done%every == 0
}

// record writes the step down; from here on it has happened.
func (r *Run) record(step int, rec journal.Step, groups []sampler.Group, watch stopwatch) error {
	cursor, err := r.Rows.MarshalCursor()
	if err != nil {
		return err
	}
	rec.Epoch, rec.Dropped = r.Rows.Epoch(), r.Rows.Dropped()
	rec.Total = watch.total()
	rec.Rate = float64(rec.Tokens) / max(rec.Total, 1e-9)
	if err := r.Journal.WriteRollouts(step, forJournal(groups)); err != nil {
		return err
	}
	if keep := r.Config.Checkpoint.Rollouts; keep > 0 {
		if err := r.Journal.DropRollouts(step - keep); err != nil {
			return err
		}
	}
	if err := r.Journal.AppendStep(rec); err != nil {
		return err
	}
	r.progress.NextStep, r.progress.Cursor, r.torn = step+1, cursor, false
	r.progress.Tokens += int64(responseTokens(groups))
	r.Observer.StepDone(rec, r.Config.Steps)
	return nil
}

// checkpoint saves the step boundary that progress describes.
func (r *Run) checkpoint(ctx context.Context) error {
	r.Observer.Phase(r.progress.NextStep-1, "checkpoint")
	return r.Journal.WriteCheckpoint(r.progress, r.live.Version, r.Config.Checkpoint.Keep,
		func(dir string) error { return r.Updater.Export(ctx, dir) },
		func(dir string) error { return r.Updater.SaveState(ctx, dir) })
}

// Resume takes up the newest complete checkpoint, if there is one, and returns
// the data cursor to open the rows at: nil at the very start. Call it before Train.
func (r *Run) Resume(ctx context.Context) (cursor []byte, err error) {
	dir, progress, err := r.Journal.NewestCheckpoint()
	if err != nil {
		return nil, err
	}
	if dir != "" {
		if err := r.Updater.LoadState(ctx, filepath.Join(dir, journal.StateFolder)); err != nil {
			return nil, err
		}
		r.progress = progress
	}
	return r.progress.Cursor, r.Journal.Rewind(r.progress.NextStep)
}

func (r *Run) finish() (journal.Summary, error) {
	steps, err := r.Journal.Steps()
	if err != nil {
		return journal.Summary{}, err
	}
	if len(steps) == 0 {
		return journal.Summary{}, errors.New("the run has no recorded steps")
	}
	s := journal.Summary{
		Steps: len(steps), Validation: r.progress.Validation,
		RewardFirst: steps[0].ScoreMean, RewardLast: steps[len(steps)-1].ScoreMean,
		WallS: r.progress.WallS, Tokens: r.progress.Tokens,
		WeightsSHA256: r.live.SHA256,
		Model:         r.Journal.CheckpointPath(r.progress.NextStep),
	}
	return s, r.Journal.WriteSummary(s)
}

func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return ErrInterrupted
	}
	return err
}

// stopwatch times the phases of a step.
type stopwatch struct {
	now         func() time.Time
	began, last time.Time
}

func startStopwatch(now func() time.Time) stopwatch {
	t := now()
	return stopwatch{now: now, began: t, last: t}
}

func (w *stopwatch) lap() float64 {
	now := w.now()
	d := now.Sub(w.last)
	w.last = now
	return d.Seconds()
}

func (w stopwatch) total() float64 { return w.now().Sub(w.began).Seconds() }
