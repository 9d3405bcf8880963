package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrNotRun: a folder that was to be read is not a run directory.
var ErrNotRun = errors.New("holds no run (there is no run.json in it); name the --out of a justrl run")

// What follows reads a run directory without its lock and changes nothing, so
// that a run can be looked at while it goes on.

// ReadInfo returns run.json. The error wraps ErrNotRun if there is none.
func ReadInfo(run string) (Info, error) {
	var info Info
	err := (&Dir{path: run}).readJSON("run.json", &info)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("run directory %s: %w", run, ErrNotRun)
	}
	return info, err
}

// ReadSummary returns summary.json; false while the run has not finished.
func ReadSummary(run string) (Summary, bool, error) {
	var s Summary
	err := (&Dir{path: run}).readJSON("summary.json", &s)
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil
	}
	return s, err == nil, err
}

// NewestCheckpoint returns the folder of a run's newest complete checkpoint; ""
// if there is none.
func NewestCheckpoint(run string) (string, error) {
	dirs, err := (&Dir{path: run}).checkpoints()
	if err != nil || len(dirs) == 0 {
		return "", err
	}
	return dirs[len(dirs)-1].dir, nil
}

// StepsPath is the file of [Step] lines in a run directory.
func StepsPath(run string) string { return filepath.Join(run, "steps.jsonl") }

// ValidationsPath is the file of [Validation] lines in a run directory.
func ValidationsPath(run string) string { return filepath.Join(run, "validation.jsonl") }

// RolloutSteps lists the steps whose rollouts are kept, in order.
func RolloutSteps(run string) ([]int, error) {
	var steps []int
	err := eachStep("run directory", filepath.Join(run, "rollouts"), stepComplete, func(e fs.DirEntry, _ string, step int) error {
		if !e.IsDir() {
			steps = append(steps, step)
		}
		return nil
	})
	slices.Sort(steps)
	return slices.Compact(steps), err // in both formats for a moment, where an older build's is rewritten
}

// Evaluation names the held-out sets whose answers are kept of one measurement.
type Evaluation struct {
	Steps int      // done before it; 0 is before training
	Sets  []string // sorted
}

// Evaluations lists the measurements whose answers are kept ([AnswersPath]), in order.
func Evaluations(run string) ([]Evaluation, error) {
	var all []Evaluation
	err := eachStep("run directory", filepath.Join(run, "eval"), stepFolder, func(folder fs.DirEntry, path string, steps int) error {
		if !folder.IsDir() {
			return nil
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return fmt.Errorf("run directory: %w", err)
		}
		e := Evaluation{Steps: steps}
		for _, f := range entries {
			if set, ok := strings.CutSuffix(f.Name(), ".jsonl"); ok && f.Type().IsRegular() && !strings.HasPrefix(set, ".") {
				e.Sets = append(e.Sets, set)
			}
		}
		if len(e.Sets) > 0 {
			all = append(all, e)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b Evaluation) int { return a.Steps - b.Steps })
	return all, err
}

// All decodes a file of one JSON value a line, as [Lines] does, for files that fit in
// memory.
func All[T any](path string) ([]T, error) {
	var all []T
	for v, err := range Lines[T](path) {
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// Lines decodes a file of one JSON value a line, one at a time. A last line
// without an end is being written, or was torn, and is left out; a file that is
// not there has no lines. An error, which names file and line, is the last that
// is yielded.
func Lines[T any](path string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(zero, fmt.Errorf("run directory: %w", err))
			return
		}
		defer f.Close() //nolint:errcheck // nothing was written
		r := bufio.NewReaderSize(f, 1<<16)
		for n := 1; ; n++ {
			line, err := r.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				return
			}
			var v T
			if err == nil {
				err = json.Unmarshal(line, &v)
			}
			if err != nil {
				yield(zero, fmt.Errorf("%s:%d: %w", path, n, err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}
