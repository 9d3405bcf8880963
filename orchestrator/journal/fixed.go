package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Fixed is an answer that a run keeps to have it scored again and again: a line
// of monitor/answers.jsonl. Its score is the verifier's own, unshaped.
type Fixed struct {
	ProblemID   string  `json:"problem_id"`
	GroundTruth string  `json:"ground_truth"`
	Text        string  `json:"text"`
	Reward      float64 `json:"reward"`
	Correct     bool    `json:"correct"`
}

// FixedPath is the file of [Fixed] lines in a run directory.
func FixedPath(run string) string { return filepath.Join(run, "monitor", "answers.jsonl") }

// WriteFixed keeps the answers, in the place of those that were there.
func (d *Dir) WriteFixed(answers []Fixed) error {
	return replaceLines("answers to score again", FixedPath(d.path), answers)
}

// DropFixed removes them: other answers are taken, under another reward.
func (d *Dir) DropFixed() error {
	if err := os.Remove(FixedPath(d.path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("answers to score again: %w", err)
	}
	return nil
}

// ReadFixed returns them; none, without an error, where none are kept yet.
func (d *Dir) ReadFixed() ([]Fixed, error) {
	all, err := All[Fixed](FixedPath(d.path))
	if err != nil {
		return nil, fmt.Errorf("%w; remove the file to have others taken", err)
	}
	return all, nil
}
