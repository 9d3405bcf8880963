package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/justrl/justrl/internal/atomicdir"
)

// The kinds of rollouts files, as the ending of their names.
const (
	complete = ".jsonl"         // of a step that was trained on: all of them, in the order of the groups
	partial  = ".partial.jsonl" // of a step that is being sampled: in the order in which they finished
	refused  = ".refused.jsonl" // not trained on, because the log-probs were not the trainer's
)

// RolloutsPath is the file of a step's rollouts in a run directory.
func RolloutsPath(run string, step int) string { return rolloutsPath(run, step, complete) }

func rolloutsPath(run string, step int, kind string) string {
	return filepath.Join(run, "rollouts", fmt.Sprintf("step-%06d", step)+kind)
}

// WriteRollouts replaces the rollouts of a step by all that it was trained on;
// they are on the disk when it returns, and the partial file is gone.
func (d *Dir) WriteRollouts(step int, rollouts []Rollout) error {
	if err := os.MkdirAll(d.file("rollouts"), 0o777); err != nil {
		return fmt.Errorf("rollouts: %w", err)
	}
	err := atomicdir.ReplaceFile(RolloutsPath(d.path, step), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		for _, r := range rollouts {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return remove(rolloutsPath(d.path, step, partial))
}

// DropRollouts removes the rollouts of all steps before `before`.
func (d *Dir) DropRollouts(before int) error {
	return d.eachRollouts(func(path string, step int) error {
		if step >= before {
			return nil
		}
		return remove(path)
	})
}

// DropRolloutsAfter removes the rollouts of all steps after `step`.
func (d *Dir) DropRolloutsAfter(step int) error {
	return d.eachRollouts(func(path string, at int) error {
		if at <= step {
			return nil
		}
		return remove(path)
	})
}

// RefuseRollouts sets the rollouts of a step aside as step-NNNNNN.refused.jsonl:
// they are there to look at, and will not be trained on. Those that were
// refused before them go.
func (d *Dir) RefuseRollouts(step int) error {
	aside := rolloutsPath(d.path, step, refused)
	for _, kind := range []string{partial, complete} {
		err := os.Rename(rolloutsPath(d.path, step, kind), aside)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rollouts: %w", err)
		}
	}
	return d.DropRolloutsAfter(step) // they were drawn from weights that this step was to lead to
}

var rolloutsName = regexp.MustCompile(`^step-([0-9]{6,9})(\.partial|\.refused)?\.jsonl$`)

// eachRollouts calls do for every rollouts file of the run.
func (d *Dir) eachRollouts(do func(path string, step int) error) error {
	entries, err := os.ReadDir(d.file("rollouts"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rollouts: %w", err)
	}
	for _, e := range entries {
		m := rolloutsName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		step, _ := strconv.Atoi(m[1]) // at most nine digits
		if err := do(d.file("rollouts", e.Name()), step); err != nil {
			return err
		}
	}
	return nil
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
