package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/justrl/justrl/orchestrator/journal"
)

// Resume takes up the newest complete checkpoint, if there is one, and returns
// the data cursor to open the rows at: nil, or JSON's null, at the very start.
// Call it before Train.
func (r *Run) Resume(ctx context.Context) (cursor []byte, err error) {
	dir, progress, err := r.Journal.NewestCheckpoint()
	if err != nil {
		return nil, err
	}
	if progress.NextStep > r.Config.Steps {
		return nil, fmt.Errorf("%w: it has done %d steps, and steps is %d: give a larger --steps", ErrStepsDone, progress.NextStep, r.Config.Steps)
	}
	if dir != "" {
		if err := r.Updater.LoadState(ctx, filepath.Join(dir, journal.StateFolder)); err != nil {
			return nil, err
		}
		r.progress = progress
	}
	if err := r.Journal.Rewind(r.progress.NextStep); err != nil {
		return nil, err
	}
	past, err := r.Journal.Validations()
	if r.validated = -1; len(past) > 0 {
		r.validated = past[len(past)-1].Steps
	}
	return r.progress.Cursor, err
}

// finish writes what the run came to.
func (r *Run) finish() (journal.Summary, error) {
	steps, err := r.Journal.Steps()
	if err != nil {
		return journal.Summary{}, err
	}
	if len(steps) == 0 {
		return journal.Summary{}, errors.New("the run has no recorded steps")
	}
	s := journal.Summary{
		Steps: len(steps), Validation: map[string]journal.FirstAndLast{}, Sampled: map[string]journal.FirstAndLast{},
		RewardFirst: steps[0].ScoreMean, RewardLast: steps[len(steps)-1].ScoreMean,
		WallS: r.progress.WallS + r.Now().Sub(r.since).Seconds(), Tokens: r.progress.Tokens,
		WeightsSHA256: r.live.SHA256,
		Model:         r.Journal.CheckpointPath(r.progress.NextStep),
	}
	for _, step := range steps {
		for _, e := range step.ServerEvents {
			switch e.Event {
			case journal.ServerFenced:
				s.Fenced++
			case journal.ServerRejoined:
				s.Rejoined++
			}
		}
	}
	if s.Cost, err = r.Journal.Costs(); err != nil {
		return journal.Summary{}, err
	}
	measured, err := r.Journal.Validations()
	if err != nil {
		return journal.Summary{}, err
	}
	for _, v := range measured {
		follow(s.Validation, v.Accuracy)
		follow(s.Sampled, v.Sampled)
	}
	return s, r.Journal.WriteSummary(s)
}

// follow takes one more measurement of every set into first and last.
func follow(sets map[string]journal.FirstAndLast, measured map[string]float64) {
	for set, accuracy := range measured {
		past, seen := sets[set]
		if !seen {
			past.First = accuracy
		}
		past.Last = accuracy
		sets[set] = past
	}
}
