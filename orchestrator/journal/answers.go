package journal

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/justrl/justrl/internal/atomicdir"
)

// WriteAnswers replaces the answers to a held-out set after `steps` steps.
func (d *Dir) WriteAnswers(steps int, set string, answers []Answer) error {
	path := AnswersPath(d.path, steps, set)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fmt.Errorf("answers: %w", err)
	}
	return atomicdir.ReplaceFile(path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		for _, a := range answers {
			if err := enc.Encode(a); err != nil {
				return err
			}
		}
		return nil
	})
}

// AnswersPath is the file of a set's answers in a run directory.
func AnswersPath(run string, steps int, set string) string {
	return filepath.Join(run, "eval", fmt.Sprintf("step-%06d", steps), set+".jsonl")
}
