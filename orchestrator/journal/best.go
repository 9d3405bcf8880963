package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Best is checkpoints/best.json: the checkpoint whose weights have the highest
// accuracy on held-out problems so far, the first of several.
type Best struct {
	Steps      int     `json:"steps"`      // done at it
	Accuracy   float64 `json:"accuracy"`   // as validation.temperature says
	Of         string  `json:"of"`         // the set, or "mean" of all sets
	Checkpoint string  `json:"checkpoint"` // its folder's name, beside this file
}

const bestFile = "best.json"

// MarkBest notes the best checkpoint, which is not pruned from then on; the one that
// was marked before it is again one of many. Its folder must be complete.
func (d *Dir) MarkBest(b Best) error {
	b.Checkpoint = filepath.Base(d.CheckpointPath(b.Steps))
	return d.writeJSON(filepath.Join("checkpoints", bestFile), b)
}

// Best returns the best checkpoint; false if none is marked.
func (d *Dir) Best() (b Best, marked bool, err error) {
	err = d.readJSON(filepath.Join("checkpoints", bestFile), &b)
	if errors.Is(err, fs.ErrNotExist) {
		return b, false, nil
	}
	return b, err == nil, err
}

// rewindBest forgets a best checkpoint of steps that will be done again.
func (d *Dir) rewindBest(next int) error {
	b, marked, err := d.Best()
	if err != nil || !marked || b.Steps <= next {
		return err
	}
	if err := os.Remove(d.file("checkpoints", bestFile)); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}
