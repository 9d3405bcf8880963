package journal

import (
	"encoding/json"
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

// WriteCheckpoint saves a step boundary under checkpoints/step-NNNNNN, where
// NNNNNN is the number of steps done, and removes all but the newest keep (0 =
// all). weights and state each fill an empty folder, the second one inside the
// first. A checkpoint of the same step that is complete already is left as it is.
func (d *Dir) WriteCheckpoint(p Progress, version int64, keep int, weights, state func(dir string) error) error {
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
		return fmt.Errorf("checkpoint %s: %w", path, err)
	}
	return d.prune(keep)
}

// CheckpointPath is the folder of the checkpoint after `done` steps.
func (d *Dir) CheckpointPath(done int) string {
	return d.file("checkpoints", fmt.Sprintf("step-%06d", done))
}

// NewestCheckpoint returns the folder and progress of the newest complete
// checkpoint; "" if there is none.
func (d *Dir) NewestCheckpoint() (string, Progress, error) {
	var p Progress
	dirs, err := d.checkpoints()
	if err != nil || len(dirs) == 0 {
		return "", p, err
	}
	dir := dirs[len(dirs)-1].dir
	path := filepath.Join(dir, StateFolder, progressFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return "", p, fmt.Errorf("checkpoint: %w", err)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return "", p, fmt.Errorf("checkpoint %s: %w", path, err)
	}
	return dir, p, nil
}

// saved is a complete checkpoint.
type saved struct {
	dir  string
	done int // steps
}

// checkpoints lists the complete ones, oldest first.
func (d *Dir) checkpoints() ([]saved, error) {
	var all []saved
	err := eachStep("checkpoints", d.file("checkpoints"), stepFolder, func(e fs.DirEntry, dir string, done int) error {
		if !e.IsDir() {
			return nil
		}
		if _, err := atomicdir.Read(dir); err == nil {
			all = append(all, saved{dir, done})
		}
		return nil
	})
	slices.SortFunc(all, func(a, b saved) int { return a.done - b.done })
	return all, err
}

func (d *Dir) prune(keep int) error {
	dirs, err := d.checkpoints()
	if err != nil || keep == 0 || len(dirs) <= keep {
		return err
	}
	for _, old := range dirs[:len(dirs)-keep] {
		if err := os.RemoveAll(old.dir); err != nil {
			return fmt.Errorf("checkpoint: remove %s: %w", old.dir, err)
		}
	}
	return nil
}
