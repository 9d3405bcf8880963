package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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
	path  string
	lock  *os.File
	steps *os.File
}

// Create starts a new run in path; missing folders are made, and config is
// written as config.yaml. A run that is there already must not have recorded a
// step: one that failed before (a server that could not be used, say) is
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
	if err := errors.Join(d.writeJSON("run.json", info), d.write("config.yaml", config)); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d.openSteps()
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
	d, err = d.openSteps()
	return d, info, err
}

// begun tells whether a run has got as far as recording a step or a checkpoint.
func (d *Dir) begun() (bool, error) {
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
	var err error
	if d.steps != nil {
		err = d.steps.Close()
	}
	return errors.Join(err, d.lock.Close())
}

// AppendStep adds a record to steps.jsonl and syncs it.
func (d *Dir) AppendStep(s Step) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("record step %d: %w", s.Step, err)
	}
	if _, err := d.steps.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("record step %d: %w", s.Step, err)
	}
	if err := d.steps.Sync(); err != nil {
		return fmt.Errorf("record step %d: %w", s.Step, err)
	}
	return nil
}

// Steps returns the records so far.
func (d *Dir) Steps() ([]Step, error) {
	b, err := os.ReadFile(d.file("steps.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("steps.jsonl: %w", err)
	}
	var steps []Step
	for n, line := range bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var s Step
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", d.file("steps.jsonl"), n+1, err)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// Rewind drops the records of step `next` and later: they happened after the
// checkpoint that a resumed run goes on from, and will happen again.
func (d *Dir) Rewind(next int) error {
	steps, err := d.Steps()
	if err != nil {
		return err
	}
	var keep bytes.Buffer
	for _, s := range steps {
		if s.Step < next {
			b, err := json.Marshal(s)
			if err != nil {
				return fmt.Errorf("rewind to step %d: %w", next, err)
			}
			keep.Write(append(b, '\n'))
		}
	}
	if err := d.steps.Close(); err != nil {
		return fmt.Errorf("rewind to step %d: %w", next, err)
	}
	if err := d.write("steps.jsonl", keep.Bytes()); err != nil {
		return err
	}
	_, err = d.openSteps()
	return err
}

// WriteRollouts replaces the rollouts of a step.
func (d *Dir) WriteRollouts(step int, rollouts []Rollout) error {
	if err := os.MkdirAll(d.file("rollouts"), 0o777); err != nil {
		return fmt.Errorf("rollouts: %w", err)
	}
	var b bytes.Buffer
	w := json.NewEncoder(&b)
	w.SetEscapeHTML(false)
	for _, r := range rollouts {
		if err := w.Encode(r); err != nil {
			return fmt.Errorf("rollouts of step %d: %w", step, err)
		}
	}
	return d.write(filepath.Join("rollouts", fmt.Sprintf("step-%06d.jsonl", step)), b.Bytes())
}

// DropRollouts removes the rollouts of a step, if they are there.
func (d *Dir) DropRollouts(step int) error {
	err := os.Remove(d.file("rollouts", fmt.Sprintf("step-%06d.jsonl", step)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rollouts: %w", err)
	}
	return nil
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

// openSteps opens steps.jsonl for appending, after cutting off a line that a crash tore.
func (d *Dir) openSteps() (*Dir, error) {
	f, err := os.OpenFile(d.file("steps.jsonl"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("steps.jsonl: %w", err), d.Close())
	}
	d.steps = f
	whole := int64(0)
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadString('\n')
		if err != nil || !strings.HasSuffix(line, "\n") {
			break
		}
		whole += int64(len(line))
	}
	if err := f.Truncate(whole); err != nil {
		return nil, errors.Join(fmt.Errorf("steps.jsonl: %w", err), d.Close())
	}
	return d, nil
}
