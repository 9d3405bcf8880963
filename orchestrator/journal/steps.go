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

// How things are named that a run keeps by step; somebody's copy has another name.
var (
	stepFolder   = regexp.MustCompile(`^step-([0-9]{6,9})$`)          // a checkpoint's, or one of answers
	stepDamaged  = regexp.MustCompile(`^step-([0-9]{6,9})\.damaged$`) // a checkpoint's that was set aside
	stepRollouts = regexp.MustCompile(`^step-([0-9]{6,9})(?:(?:\.partial|\.refused)?\.jsonl|(?:\.refused)?\.parquet|\.drawn\.json)$`)
	stepComplete = regexp.MustCompile(`^step-([0-9]{6,9})\.(?:parquet|jsonl)$`)
)

// eachStep calls do for everything in a folder, which need not exist, whose
// name matches, in the order of the names. what begins the error of a folder
// that cannot be read; do's own is returned as it is.
func eachStep(what, dir string, name *regexp.Regexp, do func(e fs.DirEntry, path string, step int) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", what, err)
	}
	for _, e := range entries {
		m := name.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		step, _ := strconv.Atoi(m[1]) // at most nine digits
		if err := do(e, filepath.Join(dir, e.Name()), step); err != nil {
			return err
		}
	}
	return nil
}

// replaceLines replaces a file by one of a JSON value a line; missing folders
// are made. what begins their error.
func replaceLines[T any](what, path string, values []T) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return atomicdir.ReplaceFile(path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		for _, v := range values {
			if err := enc.Encode(v); err != nil {
				return err
			}
		}
		return nil
	})
}
