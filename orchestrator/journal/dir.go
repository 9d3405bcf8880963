package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"
)

// The ways in which a run directory can refuse.
var (
	ErrExists = errors.New("holds a run already; add --resume to go on with it, or name another --out")
	ErrNoRun  = errors.New("holds no run to resume; leave out --resume to start one")
	ErrInUse  = errors.New("another justrl is working in it")
)

// Dir is an open run directory. It is not safe for concurrent use; Close gives
// up the lock.
type Dir struct {
	path        string
	lock        *os.File
	steps       *lineFile
	validations *lineFile
	events      *lineFile
}

// Create starts a new run in path; missing folders are made, and config is
// written as config.yaml. A run that is there already must not have kept a
// rollout: one that failed before (a server that could not be used, say) is
// started anew, with versions that go on from its last.
func Create(path string, info Info, config []byte) (*Dir, error) {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	d, err := lock(path)
	if err != nil {
		return nil, err
	}
	if begun, err := d.begun(); begun || err != nil {
		if err == nil {
			err = fmt.Errorf("run directory %s: %w", path, ErrExists)
		}
		return nil, errors.Join(err, d.Close())
	}
	// What an attempt that sampled nothing has left is not this run's.
	for _, name := range []string{"validation.jsonl", "events.jsonl", "spent.jsonl", "resumes.jsonl", "summary.json", "paused", "monitor/answers.jsonl"} {
		if err := os.Remove(d.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(fmt.Errorf("run directory: %w", err), d.Close())
		}
	}
	if err := errors.Join(d.dropAnswers(-1), d.DropRollouts(math.MaxInt)); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if err := errors.Join(d.writeJSON("run.json", info), d.write("config.yaml", config)); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d.open()
}

// Free returns an error that wraps ErrExists if Create would refuse path for
// the run that is in it; it changes nothing.
func Free(path string) error {
	begun, err := (&Dir{path: path}).begun()
	if begun {
		err = fmt.Errorf("run directory %s: %w", path, ErrExists)
	}
	return err
}

// Open goes on with the run in path.
func Open(path string) (*Dir, Info, error) {
	var info Info
	if _, err := os.Stat(filepath.Join(path, "run.json")); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, info, fmt.Errorf("run directory %s: %w", path, ErrNoRun)
		}
		return nil, info, fmt.Errorf("run directory: %w", err)
	}
	d, err := lock(path)
	if err != nil {
		return nil, info, err
	}
	if err := d.readJSON("run.json", &info); err != nil {
		return nil, info, errors.Join(err, d.Close())
	}
	d, err = d.open()
	return d, info, err
}

// begun tells whether a run has got as far as keeping a rollout, a step or a checkpoint.
func (d *Dir) begun() (bool, error) {
	if sampled, err := d.sampled(); sampled || err != nil {
		return sampled, err
	}
	if _, err := os.Stat(d.file("run.json")); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	switch st, err := os.Stat(d.file("steps.jsonl")); {
	case err == nil && st.Size() > 0:
		return true, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("run directory: %w", err)
	}
	saved, err := d.checkpoints()
	return len(saved) > 0, err
}

// Path is the directory.
func (d *Dir) Path() string { return d.path }

// Close gives the directory free.
func (d *Dir) Close() error {
	var errs []error
	for _, l := range []*lineFile{d.steps, d.validations, d.events} {
		if l != nil {
			errs = append(errs, l.f.Close())
		}
	}
	return errors.Join(append(errs, d.lock.Close())...)
}

// SetConfig replaces config.yaml: a resumed run may go on longer, or elsewhere.
func (d *Dir) SetConfig(config []byte) error { return d.write("config.yaml", config) }

// AppendStep adds a record to steps.jsonl and syncs it.
func (d *Dir) AppendStep(s Step) error { return d.steps.append(s) }

// Steps returns the records so far.
func (d *Dir) Steps() ([]Step, error) { return readLines[Step](d.steps) }

// AppendValidation adds a measurement to validation.jsonl and syncs it.
func (d *Dir) AppendValidation(v Validation) error { return d.validations.append(v) }

// Validations returns the measurements so far.
func (d *Dir) Validations() ([]Validation, error) { return readLines[Validation](d.validations) }

// Rewind drops what was recorded after the first `next` steps: it happened
// after the checkpoint that a resumed run goes on from, and will happen again.
// The rollouts of those steps stay, so that they need not be sampled again.
// What they cost goes to spent.jsonl.
func (d *Dir) Rewind(next int) error {
	if err := d.keepSpent(next); err != nil {
		return err
	}
	err := errors.Join(
		keepLines(d.steps, func(s Step) bool { return s.Step < next }),
		keepLines(d.validations, func(v Validation) bool { return v.Steps <= next }),
		keepLines(d.events, func(e Event) bool { return e.Step < next }),
	)
	if err != nil {
		return err
	}
	return errors.Join(d.dropAnswers(next), d.rewindBest(next), remove(d.file("summary.json"))) // of a run that goes on
}

// WriteSummary ends the run.
func (d *Dir) WriteSummary(s Summary) error { return d.writeJSON("summary.json", s) }

// ReserveVersion hands out the next weights version, 1 first. It is on disk
// before it is returned: a version is never used twice, whatever crashes.
func (d *Dir) ReserveVersion() (int64, error) {
	var last struct {
		Last int64 `json:"last"`
	}
	if err := d.readJSON("versions.json", &last); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	last.Last++
	return last.Last, d.writeJSON("versions.json", last)
}

func lock(path string) (*Dir, error) {
	f, err := os.OpenFile(filepath.Join(path, "run.lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("run directory %s: %w", path, ErrInUse), f.Close())
	}
	return &Dir{path: path, lock: f}, nil
}

// open opens the files that grow, and removes what a killed process left half-written.
func (d *Dir) open() (*Dir, error) {
	if err := errors.Join(
		sweep(d.path, temporary), sweep(d.file("rollouts"), temporary), sweep(d.file("monitor"), temporary), sweep(d.file("checkpoints"), temporary),
		d.eachAnswers(func(dir string, _ int) error { return sweep(dir, temporaryAnswers) }),
	); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	var err error
	if d.steps, err = openLines(d.file("steps.jsonl")); err == nil {
		d.validations, err = openLines(d.file("validation.jsonl"))
	}
	if err == nil {
		d.events, err = openLines(d.file("events.jsonl"))
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// The names that atomicdir.ReplaceFile gives the files of this package while it
// fills them; in a folder of answers a set may have any name.
var (
	temporary        = regexp.MustCompile(`^\.(run\.json|config\.yaml|versions\.json|summary\.json|best\.json|report\.html|paused|(steps|validation|events|answers|step-[0-9]+)\.jsonl|step-[0-9]+\.(drawn\.json|parquet))-[0-9]+$`)
	temporaryAnswers = regexp.MustCompile(`^\..+\.jsonl-[0-9]+$`)
)

// sweep removes what a killed process left half-written in a folder, and nothing else.
func sweep(dir string, names *regexp.Regexp) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.Type().IsRegular() && names.MatchString(e.Name()) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	return nil
}
