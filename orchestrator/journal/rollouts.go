package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The kinds of rollouts files, as the ending of their names.
const (
	complete      = ".parquet"         // of a step that was trained on: all of them, in the order of the groups
	completeLines = ".jsonl"           // the same, of a run of an older build
	partial       = ".partial.jsonl"   // of a step that is being sampled: in the order in which they finished
	refused       = ".refused.parquet" // not trained on, because the log-probs were not the trainer's: it was complete
	refusedLines  = ".refused.jsonl"   // the same: it was partial, or complete in lines
	drawn         = ".drawn.json"      // no rollouts: what a finished step drew beside those that it trained on
)

// RolloutsPath is the file of a step's rollouts in a run directory. It is parquet,
// unless there is only one of JSON Lines, which an older build wrote.
func RolloutsPath(run string, step int) string {
	path, lines := rolloutsPath(run, step, complete), rolloutsPath(run, step, completeLines)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(lines); err == nil {
			return lines
		}
	}
	return path
}

// DrawnPath is where a run keeps what a step with sampling.dynamic drew.
func DrawnPath(run string, step int) string { return rolloutsPath(run, step, drawn) }

func rolloutsPath(run string, step int, kind string) string {
	return filepath.Join(run, "rollouts", fmt.Sprintf("step-%06d", step)+kind)
}

// WriteDrawn notes what a step drew beside what it trains on. It comes before
// [Dir.WriteRollouts]: a step whose rollouts are there has its note too.
func (d *Dir) WriteDrawn(step int, what Drawn) error {
	if err := os.MkdirAll(d.file("rollouts"), 0o777); err != nil {
		return fmt.Errorf("rollouts: %w", err)
	}
	return d.writeJSON(rolloutsPath("", step, drawn), what)
}

// ReadDrawn returns what WriteDrawn wrote of a step; the error wraps
// fs.ErrNotExist if there is nothing.
func (d *Dir) ReadDrawn(step int) (Drawn, error) {
	var what Drawn
	return what, d.readJSON(rolloutsPath("", step, drawn), &what)
}

// WriteRollouts replaces the rollouts of a step by all that it was trained on, as
// parquet; they are on the disk when it returns, and the partial file is gone, as
// is the file of JSON Lines that an older build may have left of the step. Beside
// the rollouts it holds some MB at a time.
func (d *Dir) WriteRollouts(step int, rollouts []Rollout) error {
	if err := replaceParquet(rolloutsPath(d.path, step, complete), rollouts); err != nil {
		return err
	}
	return errors.Join(remove(rolloutsPath(d.path, step, completeLines)), remove(rolloutsPath(d.path, step, partial)))
}

// DropRollouts removes the rollouts of all steps before `before`.
func (d *Dir) DropRollouts(before int) error {
	return d.dropRollouts(func(step int) bool { return step < before })
}

// DropRolloutsAfter removes the rollouts of all steps after `step`.
func (d *Dir) DropRolloutsAfter(step int) error {
	return d.dropRollouts(func(at int) bool { return at > step })
}

func (d *Dir) dropRollouts(which func(step int) bool) error {
	return d.eachRollouts(func(path string, step int) error {
		if !which(step) {
			return nil
		}
		return remove(path)
	})
}

// RefuseRollouts sets the rollouts of a step aside as step-NNNNNN.refused.jsonl, or
// .refused.parquet of a step that was trained on before: they are there to look at,
// and will not be trained on. Those that were refused before them go.
func (d *Dir) RefuseRollouts(step int) error {
	for _, move := range []struct{ from, to, old string }{
		{partial, refusedLines, refused}, {completeLines, refusedLines, refused}, {complete, refused, refusedLines},
	} {
		err := os.Rename(rolloutsPath(d.path, step, move.from), rolloutsPath(d.path, step, move.to))
		if err == nil {
			err = remove(rolloutsPath(d.path, step, move.old))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rollouts: %w", err)
		}
	}
	if err := remove(rolloutsPath(d.path, step, drawn)); err != nil {
		return err
	}
	return d.DropRolloutsAfter(step) // they were drawn from weights that this step was to lead to
}

// eachRollouts calls do for every rollouts file of the run.
func (d *Dir) eachRollouts(do func(path string, step int) error) error {
	return eachStep("rollouts", d.file("rollouts"), stepRollouts, func(_ fs.DirEntry, path string, step int) error { return do(path, step) })
}

// sampled tells whether any rollout has been kept.
func (d *Dir) sampled() (is bool, err error) {
	err = d.eachRollouts(func(path string, _ int) error {
		st, err := os.Stat(path)
		is = is || err == nil && st.Size() > 0
		return err
	})
	return is, err
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rollouts: %w", err)
	}
	return nil
}
