package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
)

// run is all that the report takes from a run directory.
type run struct {
	path         string // absolute, where that can be told
	info         journal.Info
	infoText     []byte // run.json
	resumes      []journal.Resume
	configText   string
	config       config.Config // the zero value where config.yaml is missing or not to be understood
	steps        columns
	from         int // the first step that curves are wanted of; 0 but for a live page
	measurements []journal.Validation
	events       []journal.Event  // the newest
	noticed      int              // all of them
	summary      *journal.Summary // nil while the run has not finished
	checkpoint   string           // the newest; "" if there is none
	compared     []comparison     // by held-out set
	excerpts     []excerpt        // instead of comparisons, where there are none
}

// read collects the run. Only run.json must be there.
func read(path string) (*run, error) {
	head, err := readHead(path)
	if err != nil {
		return nil, err
	}
	r := &head
	for s, err := range journal.Lines[record](journal.StepsPath(path)) {
		if err != nil {
			return nil, err
		}
		r.steps.add(s)
	}
	if r.measurements, err = readMeasurements(path); err != nil {
		return nil, err
	}
	if r.events, r.noticed, err = readEvents(path); err != nil {
		return nil, err
	}
	summary, finished, err := journal.ReadSummary(path)
	if err != nil {
		return nil, err
	}
	// A finished run that was resumed for more steps still holds its old summary.
	if finished && summary.Steps >= r.done() {
		r.summary = &summary
	}
	if r.checkpoint, err = journal.NewestCheckpoint(path); err != nil {
		return nil, err
	}
	return r, r.readAnswers(path)
}

// readHead collects what stands in a run directory before its first step.
func readHead(path string) (r run, err error) {
	r.path = path
	if abs, err := filepath.Abs(path); err == nil {
		r.path = abs
	}
	if r.info, err = journal.ReadInfo(path); err != nil {
		return r, err
	}
	if r.infoText, err = os.ReadFile(filepath.Join(path, "run.json")); err != nil {
		return r, fmt.Errorf("run directory: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(path, "config.yaml"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("run directory: %w", err)
	}
	if r.resumes, err = journal.Resumes(path); err != nil {
		return r, err
	}
	r.configText = string(text)
	if c, err := config.Recorded(text); err == nil { // else the page does without what it would say
		r.config = c
	}
	return r, nil
}

func readMeasurements(path string) ([]journal.Validation, error) {
	return journal.All[journal.Validation](journal.ValidationsPath(path))
}

// done is the number of steps that were recorded, as the last record counts them.
func (r *run) done() int {
	n := r.steps.n
	if n == 0 {
		return 0
	}
	if d := r.steps.at(n-1, "step") + 1; numerals.Finite(d) && d >= 0 && d < 1<<31 {
		return int(d)
	}
	return n
}

// planned is the number of steps that the run is to have; 0 if that is unknown.
func (r *run) planned() int {
	if r.summary != nil {
		return r.summary.Steps
	}
	return max(0, r.config.Steps)
}
