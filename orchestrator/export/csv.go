package export

import (
	"encoding/csv"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
)

// csvFiles writes steps.csv and validation.csv: a header, then a line a step or
// measurement; a figure that it does not have is an empty field.
func csvFiles(run, dir string) ([]string, error) {
	steps, err := stepRows(run)
	if err != nil {
		return nil, err
	}
	measured, err := validationRows(run)
	if err != nil {
		return nil, err
	}
	return written(dir, named{"steps.csv", table("step", steps)}, named{"validation.csv", table("steps", measured)})
}

// table writes rows, whose number has the name first.
func table(first string, rows []row) func(io.Writer) error {
	names := map[string]bool{}
	for _, r := range rows {
		for _, f := range r.figures {
			names[f.Name] = true
		}
	}
	columns := slices.Sorted(maps.Keys(names))
	return func(w io.Writer) error {
		out := csv.NewWriter(w)
		_ = out.Write(append([]string{first, "time"}, columns...)) // Flush tells
		line := make([]string, 2+len(columns))
		for _, r := range rows {
			clear(line)
			line[0] = strconv.Itoa(r.step)
			if !r.at.IsZero() {
				line[1] = r.at.UTC().Format(time.RFC3339Nano)
			}
			for _, f := range r.figures {
				i, _ := slices.BinarySearch(columns, f.Name)
				line[2+i] = strconv.FormatFloat(f.Value, 'g', -1, 64)
			}
			_ = out.Write(line)
		}
		out.Flush()
		return out.Error()
	}
}
