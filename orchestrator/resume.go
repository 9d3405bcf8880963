package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/justrl/justrl/orchestrator/journal"
)

// Resume takes up the newest checkpoint that is as it was written, if there is one,
// and returns the data cursor to open the rows at: nil, or JSON's null, at the very
// start. It says so where that is not the newest. Call it before Train.
func (r *Run) Resume(ctx context.Context) (cursor []byte, err error) {
	dir, progress, damaged, err := r.Journal.Resumable()
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
	if err := r.fellBack(dir, damaged); err != nil {
		return nil, err
	}
	if err := r.Journal.Rewind(r.progress.NextStep); err != nil {
		return nil, err
	}
	if err := r.resumed(damaged); err != nil {
		return nil, err
	}
	past, err := r.Journal.Validations()
	if r.validated = -1; len(past) > 0 {
		r.validated = past[len(past)-1].Steps
	}
	return r.progress.Cursor, err
}

// fellBack sets damaged checkpoints aside, and says which, why, and what is done again.
func (r *Run) fellBack(dir string, damaged []journal.DamagedCheckpoint) error {
	if len(damaged) == 0 {
		return nil
	}
	steps, err := r.Journal.Steps()
	if err != nil {
		return err
	}
	var what []string
	for _, c := range damaged {
		what = append(what, c.Err.Error())
	}
	last := max(len(steps), damaged[0].Steps) - 1 // that was done
	r.Observer.Notice("a damaged checkpoint is set aside: %s; the run goes on from %s, and steps %d to %d, counted from 0, are done again", strings.Join(what, "; "), dir, r.progress.NextStep, last)
	return r.Journal.SetAside(damaged)
}

// resumed writes down that the run was taken up, where it was, and drops what another
// recipe must not be trained on: rollouts of later steps were drawn from weights that
// the old one led to, those of the next step are of its sampling and its rewards.
func (r *Run) resumed(damaged []journal.DamagedCheckpoint) error {
	if r.Resumed == nil {
		return nil
	}
	line := *r.Resumed
	line.NextStep = r.progress.NextStep
	for _, c := range damaged {
		line.Damaged = append(line.Damaged, c.Err.Error())
	}
	if err := r.Journal.AppendResume(line); err != nil || len(line.Recipe) == 0 {
		return err
	}
	if slices.ContainsFunc(line.Recipe, func(change string) bool { return strings.HasPrefix(change, "reward.") }) {
		if err := r.Journal.DropFixed(); err != nil { // they were scored by another
			return err
		}
	}
	after := line.NextStep
	if slices.ContainsFunc(line.Recipe, func(change string) bool {
		return !strings.HasPrefix(change, "update.") && !strings.HasPrefix(change, "optimizer.")
	}) {
		after--
	}
	return r.Journal.DropRolloutsAfter(after)
}

// finish writes what the run came to.
func (r *Run) finish() (journal.Summary, error) {
	if err := r.saved(); err != nil {
		return journal.Summary{}, err
	}
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
	best, marked, err := r.Journal.Best()
	if err != nil {
		return journal.Summary{}, err
	}
	if marked {
		s.Best = &best
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
