package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/justrl/justrl/internal/atomicdir"
)

// StateFolder is where a checkpoint keeps what the weights do not carry.
const StateFolder = "trainer"

const progressFile = "progress.json"

// Keep says which checkpoints stay when one is written; the best by validation
// ([Dir.MarkBest]) always does.
type Keep struct {
	Newest int // that many; 0 = all
	Every  int // beside them those after a multiple of so many steps; 0 = none
}

// WriteCheckpoint saves a step boundary under checkpoints/step-NNNNNN, where
// NNNNNN is the number of steps done, and removes those that keep does not keep.
// weights and state each fill an empty folder, the second one inside the
// first. A checkpoint of the same step that is complete already is left as it is.
// It touches nothing but checkpoints/, and may run while another goroutine uses the
// rest of the Dir.
func (d *Dir) WriteCheckpoint(p Progress, version int64, keep Keep, weights, state func(dir string) error) error {
	path := d.CheckpointPath(p.NextStep)
	if _, err := atomicdir.Read(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := atomicdir.Sweep(filepath.Dir(path)); err != nil { // of processes that were killed
		return fmt.Errorf("checkpoint: %w", err)
	}
	_, err := atomicdir.Create(path, atomicdir.Marker{Version: version, Step: p.NextStep}, func(tmp string) error {
		if err := weights(tmp); err != nil {
			return err
		}
		inner := filepath.Join(tmp, StateFolder)
		if err := os.Mkdir(inner, 0o777); err != nil {
			return err
		}
		if err := state(inner); err != nil {
			return err
		}
		b, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(inner, progressFile), append(b, '\n'), 0o666)
	})
	if err != nil {
		return fmt.Errorf("checkpoint %s: %w", path, atomicdir.FullDisk(err))
	}
	return d.prune(keep)
}

// CheckpointPath is the folder of the checkpoint after `done` steps.
func (d *Dir) CheckpointPath(done int) string { return checkpointPath(d.path, done) }

func checkpointPath(run string, done int) string {
	return filepath.Join(run, "checkpoints", fmt.Sprintf("step-%06d", done))
}

// HasCheckpoint tells whether the checkpoint after `done` steps is complete: one
// whose marker is damaged is not.
func (d *Dir) HasCheckpoint(done int) (bool, error) {
	_, err := atomicdir.Read(d.CheckpointPath(done))
	if errors.Is(err, fs.ErrPermission) {
		return false, err
	}
	return err == nil, nil
}

// DamagedCheckpoint is a complete checkpoint that is not as it was written.
type DamagedCheckpoint struct {
	Dir   string // its folder
	Steps int    // done at it
	Err   error  // what is wrong with it
}

// ErrNoWholeCheckpoint: every checkpoint of a run is damaged.
var ErrNoWholeCheckpoint = errors.New("none of the run's checkpoints is as it was written")

// Resumable returns the folder and progress of the newest checkpoint whose files are
// those that were written, by their SHA-256, which it reads whole; "" if the run has
// none. damaged are those that are newer, the newest first: [Dir.SetAside] is for them.
// If all are damaged the error wraps ErrNoWholeCheckpoint. It changes nothing.
func (d *Dir) Resumable() (dir string, p Progress, damaged []DamagedCheckpoint, err error) {
	all, err := d.marked()
	if err != nil {
		return "", p, nil, err
	}
	for _, c := range slices.Backward(all) {
		p, err := whole(c)
		if err == nil {
			return c.dir, p, damaged, nil
		}
		if errors.Is(err, fs.ErrPermission) { // not damage
			return "", p, nil, fmt.Errorf("checkpoint: %w", err)
		}
		damaged = append(damaged, DamagedCheckpoint{c.dir, c.done, err})
	}
	if len(damaged) > 0 {
		return "", p, damaged, fmt.Errorf("%w: %w; remove %s to have the run begin again with the model that it began with",
			ErrNoWholeCheckpoint, damaged[0].Err, d.file("checkpoints"))
	}
	return "", p, nil, nil
}

// whole returns the progress of a checkpoint that is as it was written.
func whole(c saved) (p Progress, err error) {
	if c.err != nil {
		return p, c.err
	}
	if err := atomicdir.Verify(c.dir); err != nil {
		return p, err
	}
	path := filepath.Join(c.dir, StateFolder, progressFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	if p.NextStep != c.done {
		return p, fmt.Errorf("%s: is of the boundary after %d steps", path, p.NextStep)
	}
	return p, nil
}

const damagedEnd = ".damaged"

// SetAside renames damaged checkpoints to step-NNNNNN.damaged: they are there to look
// at until a checkpoint of as many steps is written.
func (d *Dir) SetAside(damaged []DamagedCheckpoint) error {
	for _, c := range damaged {
		aside := c.Dir + damagedEnd
		err := os.RemoveAll(aside) // of an earlier time
		if err == nil {
			err = os.Rename(c.Dir, aside)
		}
		if err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	return nil
}

// FallbackStep is how many steps were done at the checkpoint that a resume would
// take if the newest were damaged; at the newest where there is one alone, 0
// without any. It goes by the markers.
func (d *Dir) FallbackStep() (int, error) {
	dirs, err := d.checkpoints()
	if err != nil || len(dirs) == 0 {
		return 0, err
	}
	return dirs[max(len(dirs)-2, 0)].done, nil
}

// saved is a checkpoint that was completed.
type saved struct {
	dir  string
	done int   // steps
	err  error // its marker cannot be read
}

// checkpoints lists the complete ones, oldest first.
func (d *Dir) checkpoints() ([]saved, error) {
	all, err := d.marked()
	return slices.DeleteFunc(all, func(c saved) bool { return c.err != nil }), err
}

// marked lists those that have a marker, oldest first.
func (d *Dir) marked() ([]saved, error) {
	var all []saved
	err := eachStep("checkpoints", d.file("checkpoints"), stepFolder, func(e fs.DirEntry, dir string, done int) error {
		if !e.IsDir() {
			return nil
		}
		if _, err := atomicdir.Read(dir); !errors.Is(err, atomicdir.ErrIncomplete) {
			all = append(all, saved{dir, done, err})
		}
		return nil
	})
	slices.SortFunc(all, func(a, b saved) int { return a.done - b.done })
	return all, err
}

func (d *Dir) prune(keep Keep) error {
	dirs, err := d.checkpoints()
	if err != nil || len(dirs) == 0 {
		return err
	}
	// What a prune that was killed has left.
	err = eachStep("checkpoints", d.file("checkpoints"), stepFolder, func(_ fs.DirEntry, dir string, _ int) error {
		if _, err := atomicdir.Read(dir); !errors.Is(err, atomicdir.ErrIncomplete) {
			return nil
		}
		if err := atomicdir.Remove(dir); !errors.Is(err, fs.ErrExist) { // somebody's own
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	// What was set aside of steps that are done again by now.
	err = eachStep("checkpoints", d.file("checkpoints"), stepDamaged, func(_ fs.DirEntry, dir string, done int) error {
		if done > dirs[len(dirs)-1].done {
			return nil
		}
		return os.RemoveAll(dir)
	})
	if err != nil || keep.Newest == 0 || len(dirs) <= keep.Newest {
		return err
	}
	best, marked, err := d.Best()
	if err != nil {
		return err
	}
	for _, old := range dirs[:len(dirs)-keep.Newest] {
		if marked && best.Steps == old.done || keep.Every > 0 && old.done%keep.Every == 0 {
			continue
		}
		if err := atomicdir.Remove(old.dir); err != nil {
			return fmt.Errorf("checkpoint: remove %s: %w", old.dir, err)
		}
	}
	return nil
}
