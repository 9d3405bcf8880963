package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/justrl/justrl/internal/chart"
	"github.com/justrl/justrl/internal/webpage"
	"github.com/justrl/justrl/orchestrator/journal"
)

// Live reads a run that goes on, for a page that shows what its report would.
// Nothing is read before it is asked for, and of steps.jsonl only what is new:
// a run of 5,000 steps takes a few megabytes. What it shows of a step's rollouts,
// and of held-out answers, is read once however many ask, and kept for the newest
// few. No lock is taken. It is safe for concurrent use; one call reads at a time.
type Live struct {
	path        string
	rollouts    kept[Excerpt]
	heldOut     kept[[]AnswerSet]
	readExcerpt func(path string, step int) (excerpt, error) // the function of that name; tests count its calls

	mu     sync.Mutex
	run    run
	opened bool        // run has its info and configuration
	file   os.FileInfo // steps.jsonl, when it was read last
	read   int64       // bytes of it that run.steps holds
}

// keptSteps is of how many steps the answers that were shown are kept: some 10 kB each.
const keptSteps = 16

// Follow makes a Live of the run in a run directory.
func Follow(path string) *Live {
	return &Live{path: path, rollouts: kept[Excerpt]{most: keptSteps}, heldOut: kept[[]AnswerSet]{most: 1}, readExcerpt: readExcerpt}
}

// Curves are a run's figures over some of its steps.
type Curves struct {
	From, To int       // figures have the records From ≤ i < To, in the order of the file
	Planned  int       // steps that the run is to have; 0 if that is unknown
	Done     []float64 // steps done after each of the records
	Axes     []Axis
	// Figures are the report's. Curves with dots, those of validation, are whole
	// whatever From is.
	Figures []chart.Figure
}

// Curves returns the figures of all records after the first so many. Where
// there are fewer the file was rewound, and it returns all of them.
func (l *Live) Curves(after int) (Curves, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.catchUp(); err != nil {
		return Curves{}, err
	}
	if after < 0 || after > l.run.steps.n {
		after = 0
	}
	r := l.run
	r.from = after
	return Curves{after, r.steps.n, r.planned(), r.stepsDone(), r.axes(), r.figures()}, nil
}

// Rollouts shows a few answers of a training step, counted from 0. Without
// those of that step the error wraps fs.ErrNotExist. What it returns is shared
// with other callers.
func (l *Live) Rollouts(step int) (Excerpt, error) {
	return l.rollouts.get(strconv.Itoa(step), []string{journal.RolloutsPath(l.path, step)}, func() (Excerpt, error) {
		e, err := l.readExcerpt(l.path, step)
		if err == nil && e.total == 0 {
			err = fmt.Errorf("the rollouts of step %d: %w", step+1, fs.ErrNotExist)
		}
		if err != nil {
			return Excerpt{}, err
		}
		view := (&run{excerpts: []excerpt{e}}).excerptViews()[0]
		for _, a := range view.Answers {
			detach(a.Spans)
		}
		return view, nil
	})
}

// detach copies spans, so that they do not keep the whole answer in memory.
func detach(spans []webpage.Span) {
	for i := range spans {
		spans[i].Text = strings.Clone(spans[i].Text)
	}
}

// HeldOut shows the same held-out problems answered before and after training so
// far; none while there are no two measurements. What it returns is shared with
// other callers.
func (l *Live) HeldOut() ([]AnswerSet, error) {
	l.mu.Lock()
	err := l.open()
	r := l.run
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	first, last, sets, err := measuredTwice(l.path)
	if err != nil || len(sets) == 0 {
		return nil, err
	}
	var files []string
	for _, set := range sets {
		files = append(files, journal.AnswersPath(l.path, first, set), journal.AnswersPath(l.path, last, set))
	}
	return l.heldOut.get(strings.Join(files, "\n"), files, func() ([]AnswerSet, error) {
		if err := r.compareAnswers(l.path, first, last, sets); err != nil {
			return nil, err
		}
		all := r.answerSets()
		for _, s := range all {
			for _, e := range s.Examples {
				detach(e.Before.Spans)
				detach(e.After.Spans)
			}
		}
		return all, nil
	})
}

// Events returns the newest 200 at most, in order, and how many there are in all.
func (l *Live) Events() ([]journal.Event, int, error) { return readEvents(l.path) }

// Excerpt is some of a training step's answers with their verdicts, and
// AnswerSet a held-out set's before and after, as a page shows them.
type (
	Excerpt   = excerptView
	AnswerSet = answerSet
)

// open reads what does not change while a run goes on.
func (l *Live) open() (err error) {
	if l.opened {
		return nil
	}
	if l.run, err = readHead(l.path); err != nil {
		return err
	}
	l.opened = true
	return nil
}

// catchUp reads what has been recorded since the last time.
func (l *Live) catchUp() (err error) {
	if err := l.open(); err != nil {
		return err
	}
	if l.run.measurements, err = readMeasurements(l.path); err != nil {
		return err
	}
	f, err := os.Open(journal.StepsPath(l.path))
	if errors.Is(err, fs.ErrNotExist) {
		l.run.steps, l.file, l.read = columns{}, nil, 0
		return nil
	}
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	// A file that was rewound is another one, however long it has grown again.
	if st.Size() < l.read || l.file != nil && !os.SameFile(st, l.file) {
		l.run.steps, l.read = columns{}, 0
	}
	l.file = st
	if _, err := f.Seek(l.read, io.SeekStart); err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	for lines := bufio.NewReaderSize(f, 1<<16); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // what has no end yet is being written
			return nil
		}
		var r record
		if err == nil {
			err = json.Unmarshal(line, &r)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", journal.StepsPath(l.path), l.run.steps.n+1, err)
		}
		l.run.steps.add(r)
		l.read += int64(len(line))
	}
}
