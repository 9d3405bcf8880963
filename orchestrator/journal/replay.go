package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// RecordedSteps returns the records of the steps from … to, both included, of
// the run in `run`, which another process may be working in.
func RecordedSteps(run string, from, to int) ([]Step, error) {
	path := StepsPath(run)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	var steps []Step
	n := 0
	for s, err := range Lines[Step](path) {
		if err != nil {
			return nil, err
		}
		n++
		if s.Step == from+len(steps) && s.Step <= to {
			steps = append(steps, s)
		}
	}
	switch missing := from + len(steps); {
	case n <= to:
		return nil, fmt.Errorf("%s: has no step %d: it records %d steps, the first is 0", path, to, n)
	case missing <= to:
		return nil, fmt.Errorf("%s: has no step %d", path, missing)
	}
	return steps, nil
}

// CheckpointBefore returns the newest complete checkpoint of the run in `run`
// that is not after `step`: its folder and how many steps were done. Without
// one it is "" and 0, the model that the run began with.
func CheckpointBefore(run string, step int) (dir string, done int, err error) {
	dirs, err := (&Dir{path: run}).checkpoints()
	for _, c := range dirs {
		if c.done <= step {
			dir, done = c.dir, c.done
		}
	}
	return dir, done, err
}

// VerifyCheckpoint reads the checkpoint after `done` steps of the run in `run` whole,
// and returns what a resume would say of it; nil if it is as it was written.
func VerifyCheckpoint(run string, done int) error {
	_, err := whole(saved{dir: checkpointPath(run, done), done: done})
	return err
}

// Exists returns an error unless `run` is a run directory.
func Exists(run string) error {
	_, err := os.Stat(filepath.Join(run, "config.yaml"))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("run directory %s: holds no run: it has no config.yaml", run)
	}
	return err
}
