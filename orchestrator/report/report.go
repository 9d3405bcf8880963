package report

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/justrl/justrl/internal/atomicdir"
)

// Name is that of the report in a run directory.
const Name = "report.html"

// Write writes the report of the run in a run directory. The error wraps
// journal.ErrNotRun if there is none in it, and names file and line of what
// cannot be read. Nothing is written unless all of the run could be read.
func Write(run string, w io.Writer) error {
	p, err := load(run)
	if err != nil {
		return err
	}
	return p.write(w)
}

func load(run string) (*page, error) {
	r, err := read(run)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	p, err := newPage(r)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return p, nil
}

// File writes the report into the run directory, replacing the one that is
// there, and returns its path.
func File(run string) (string, error) {
	path := filepath.Join(run, Name)
	return path, To(run, path)
}

// To writes the report of a run to a file; what was there is replaced only by
// a whole report.
func To(run, path string) error {
	p, err := load(run)
	if err != nil {
		return err
	}
	return atomicdir.ReplaceFile(path, p.write)
}
