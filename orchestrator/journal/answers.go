package journal

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteAnswers replaces the answers to a held-out set after `steps` steps.
func (d *Dir) WriteAnswers(steps int, set string, answers []Answer) error {
	return replaceLines("answers", AnswersPath(d.path, steps, set), answers)
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

// eachAnswers calls do for every folder of answers and the steps done before it.
func (d *Dir) eachAnswers(do func(dir string, steps int) error) error {
	return eachStep("answers", d.file("eval"), stepFolder, func(_ fs.DirEntry, dir string, steps int) error { return do(dir, steps) })
}

// AnswersPath is the file of a set's answers in a run directory.
func AnswersPath(run string, steps int, set string) string {
	return filepath.Join(run, "eval", fmt.Sprintf("step-%06d", steps), set+".jsonl")
}
