package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/internal/atomicdir"
)

// columnsName is the file of an evaluation's folder with the columns of its
// problems that results can be broken down by: set → column → value → the
// numbers of the problems that have it. It is beside the answers, so that a
// report needs no set that may be somewhere else by then, or nowhere.
const columnsName = "columns.json"

type columnsFile map[string]map[string]map[string][]int

// longestValue is how long a column's values may be to be written, in bytes: a
// text that repeats is no kind of problem.
const longestValue = 200

// WriteColumns puts the columns of sets into an evaluation's folder, in the
// place of those that it had of the same sets. A file that is damaged is written
// anew, with these sets alone.
func WriteColumns(dir string, sets map[string][]benchmarks.Problem) error {
	all, err := readColumnsFile(dir)
	if errors.As(err, new(*damagedError)) {
		all, err = nil, nil
	}
	if err != nil {
		return err
	}
	if all == nil {
		all = columnsFile{}
	}
	for set, problems := range sets {
		delete(all, set)
		for name, values := range repeated(problems) {
			ids := map[string][]int{}
			for id, value := range values {
				ids[value] = append(ids[value], id)
			}
			if slices.ContainsFunc(sorted(ids), func(v string) bool { return len(v) > longestValue }) {
				continue
			}
			for _, of := range ids {
				slices.Sort(of)
			}
			if all[set] == nil {
				all[set] = map[string]map[string][]int{}
			}
			all[set][name] = ids
		}
	}
	path := filepath.Join(dir, columnsName)
	if len(all) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return atomicdir.ReplaceFile(path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(all)
	})
}

// damagedError is a columns file that cannot be read as one.
type damagedError struct {
	path string
	err  error
}

func (e *damagedError) Error() string {
	return fmt.Sprintf("%s: %v; remove it for a report without breakdowns, or run justrl eval again, which writes it", e.path, e.err)
}

func (e *damagedError) Unwrap() error { return e.err }

// readColumnsFile reads a folder's; nil if it has none. One that is there but is no
// such file is a damagedError.
func readColumnsFile(dir string) (columnsFile, error) {
	path := filepath.Join(dir, columnsName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all columnsFile
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, &damagedError{path, err}
	}
	return all, nil
}

// of are a set's columns: column → problem → value; nil if the file has none.
func (f columnsFile) of(set string) map[string]map[int]string {
	for name, columns := range f {
		if short(setName(name), 60) != set {
			continue
		}
		out := map[string]map[int]string{}
		for column, values := range columns {
			out[column] = map[int]string{}
			for value, ids := range values {
				for _, id := range ids {
					out[column][id] = value
				}
			}
		}
		return out
	}
	return nil
}

// mostParts is how many values a column may have to break results down by.
const mostParts = 40

// repeated are the columns whose values repeat: column → problem → value.
func repeated(problems []benchmarks.Problem) map[string]map[int]string {
	columns := map[string]map[int]string{}
	values := map[string]map[string]bool{}
	for _, p := range problems {
		for name, value := range p.Columns {
			if columns[name] == nil {
				columns[name], values[name] = map[int]string{}, map[string]bool{}
			}
			columns[name][p.ID] = value
			values[name][value] = true
		}
	}
	for name, v := range values {
		if len(v) < 2 || len(v) > mostParts || 2*len(v) > len(columns[name]) {
			delete(columns, name)
		}
	}
	return columns
}

// readColumns finds the columns of every cell's problems: in its folder, else
// where [Options.Problems] has them.
func (r *Report) readColumns() error {
	var faults []error
	known := map[string]map[string]map[int]string{} // set → column → problem → value
	for _, set := range r.Sets {
		if r.o.Problems == nil {
			break
		}
		problems, err := r.o.Problems(set)
		if err != nil {
			faults = append(faults, fmt.Errorf("report: columns of %s: %w", set, err))
		} else if r.answers(set, problems) { // else a set of the user's own by the name of another
			known[set] = repeated(problems)
		}
	}
	files := map[string]columnsFile{}
	for _, c := range r.Cells {
		dir := c.Contender.Folder
		if _, read := files[dir]; !read {
			var err error
			if files[dir], err = readColumnsFile(dir); err != nil {
				faults = append(faults, fmt.Errorf("report: %w", err))
			}
		}
		if c.columns = files[dir].of(c.Set); c.columns == nil {
			c.columns = known[c.Set]
		}
	}
	return errors.Join(faults...)
}
