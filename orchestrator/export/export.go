// Package export writes what a run has recorded in the forms that other programs
// import: CSV for spreadsheets and pandas, a folder with a script for Weights &
// Biases, an event file for TensorBoard. A run is only read, and may be at work.
//
// In all of them a row's step is that of the files: a step's own number, counted
// from 0, and for validation the steps done before it, so that what stands at k is
// of the weights after k steps in either case.
package export

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/orchestrator/tensorboard"
)

// Formats are what [To] takes.
var Formats = []string{"csv", "tensorboard", "wandb"}

// To writes the run into the folder dir, which is made where it is missing, in
// one of [Formats], and returns the files that it wrote. Files of those names that
// are there are replaced, each whole. The error wraps journal.ErrNotRun if run is no run directory.
func To(run, format, dir string) (files []string, err error) {
	if !slices.Contains(Formats, format) {
		return nil, fmt.Errorf("there is no format %q; there are %v", format, Formats)
	}
	if _, err := journal.ReadInfo(run); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	switch format {
	case "tensorboard":
		return board(run, dir)
	case "csv":
		return csvFiles(run, dir)
	default:
		return wandbFiles(run, dir)
	}
}

func board(run, dir string) ([]string, error) {
	w, err := tensorboard.Open(run, dir, func(error) {})
	if err != nil {
		return nil, err
	}
	return []string{w.Path()}, w.Close()
}

// row is what a run recorded of one step, a validation before it, or both.
type row struct {
	step    int
	at      time.Time
	figures []journal.Scalar
}

// stepRows are those of the steps.
func stepRows(run string) (all []row, err error) {
	info, err := journal.ReadInfo(run)
	if err != nil {
		return nil, err
	}
	clock := journal.Clock{Started: info.Started}
	for s, err := range journal.Lines[journal.Step](journal.StepsPath(run)) {
		if err != nil {
			return nil, err
		}
		all = append(all, row{s.Step, clock.At(s), s.Scalars()})
	}
	return all, nil
}

// validationRows are those of the measurements; a time that is not known is zero.
func validationRows(run string) (all []row, err error) {
	for v, err := range journal.Lines[journal.Validation](journal.ValidationsPath(run)) {
		if err != nil {
			return nil, err
		}
		all = append(all, row{v.Steps, v.Ended, v.Scalars()})
	}
	return all, nil
}

// merged puts measurements and steps of the same number into one row.
func merged(steps, measured []row) (all []row) {
	take := func(limit int) {
		for len(measured) > 0 && measured[0].step < limit {
			all, measured = append(all, measured[0]), measured[1:]
		}
	}
	for _, s := range steps {
		take(s.step)
		for len(measured) > 0 && measured[0].step == s.step {
			s.figures = append(slices.Clone(measured[0].figures), s.figures...)
			measured = measured[1:]
		}
		all = append(all, s)
	}
	take(math.MaxInt)
	return all
}

// file replaces dir/name.
func file(dir, name string, fill func(io.Writer) error) (string, error) {
	path := filepath.Join(dir, name)
	return path, atomicdir.ReplaceFile(path, fill)
}

// written writes files by name, in this order, up to the first that fails.
func written(dir string, all ...named) (paths []string, err error) {
	for _, one := range all {
		path, err := file(dir, one.name, one.fill)
		if err != nil {
			return paths, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

type named struct {
	name string
	fill func(io.Writer) error
}

// optional reads a file that need not be there.
func optional(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}
