package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

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

// dropAnswers removes the answers that were given after more than `next` steps.
func (d *Dir) dropAnswers(next int) error {
	return d.eachAnswers(func(dir string, steps int) error {
		if steps <= next {
			return nil
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("answers: %w", err)
		}
		return nil
	})
}

var answersName = regexp.MustCompile(`^step-([0-9]{6,9})$`)

// eachAnswers calls do for every folder of answers and the steps done before it.
func (d *Dir) eachAnswers(do func(dir string, steps int) error) error {
	entries, err := os.ReadDir(d.file("eval"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("answers: %w", err)
	}
	for _, e := range entries {
		m := answersName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		steps, _ := strconv.Atoi(m[1]) // at most nine digits
		if err := do(d.file("eval", e.Name()), steps); err != nil {
			return err
		}
	}
	return nil
}

// AnswersPath is the file of a set's answers in a run directory.
func AnswersPath(run string, steps int, set string) string {
	return filepath.Join(run, "eval", fmt.Sprintf("step-%06d", steps), set+".jsonl")
}
