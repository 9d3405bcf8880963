// Package dataset turns a file of problems into a stream of rows: parquet, JSON
// lines or CSV in, seeded order, a length filter, and a cursor that a killed run
// resumes at.
//
// Two schemas are known, as parquet columns or as JSON fields (and the second as
// the header of a CSV file); columns beside them are ignored:
//
//	prompt[0].content, reward_model.ground_truth   (verl's; DAPO-Math-17k has it)
//	problem, answer                                (MathArena's)
//
// Any other is read by [OpenColumns], which is told where it has what.
// A problem's ID is extra_info.index, else extra_info.id, id or problem_idx,
// else the row's number in the file, from 0.
//
// DAPO-Math-17k as published has 1.79 million rows that repeat some 17
// thousand problems. They are neither deduplicated nor held in memory: [Open]
// reads the file once, front to back, and keeps every distinct problem once in
// an unnamed temporary file, and 4 bytes a row and 8 bytes a distinct problem in memory.
// Shuffling costs no memory: the order is a keyed permutation that is computed
// row by row.
//
// Ground truths are kept as they are written, `\boxed{204}` included: a
// verifier that compares strings will then never accept an answer.
package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/justrl/justrl/internal/parquetfile"
	"github.com/justrl/justrl/sampler"
)

// ErrEmpty is wrapped by [Open] when the file has no rows.
var ErrEmpty = errors.New("no rows")

// Source is random access to the problems of a dataset. Problem is safe for
// concurrent use.
type Source interface {
	// Len is the number of rows, ≥ 1.
	Len() int64
	// Problem returns row i, 0 ≤ i < Len().
	Problem(ctx context.Context, i int64) (sampler.Problem, error)
	// Fingerprint is a hash over all rows in file order: equal for equal content, whatever the format.
	Fingerprint() string
	// Close releases the source; no method may be called after it.
	Close() error
}

// Open reads the dataset at path once and returns random access to its rows.
// The format is told by content: parquet by its magic bytes, else JSON lines; a
// file named .csv, or .tsv with tabs, is CSV with a header row.
// Missing columns, an empty file, a truncated or foreign one, and a row
// without a problem or an answer are errors that name the file and the place.
//
// The temporary file is made in os.TempDir() ($TMPDIR) and has no name there
// any more when Open returns.
func Open(ctx context.Context, path string) (Source, error) {
	return OpenColumns(ctx, path, Columns{})
}

// open reads what m says; nil is the known schemas.
func open(ctx context.Context, path string, m *mapping) (*store, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a file; name one parquet or JSON lines file")
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("%w: the file is empty", ErrEmpty)
	}
	read, err := readerFor(f, path, m)
	if err != nil {
		return nil, err
	}
	s, err := newStore(m != nil && len(m.choices) > 0)
	if err != nil {
		return nil, err
	}
	add := func(r record) error {
		if s.Len()%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return s.add(r)
	}
	if err := read(f, info.Size(), add); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.Len() == 0 {
		return nil, errors.Join(ErrEmpty, s.Close())
	}
	if err := s.seal(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// reader calls add for every row of a file, in order, and stops at the first error.
type reader func(f io.ReaderAt, size int64, add func(record) error) error

// record is what a row of a file says.
type record struct {
	id       string // "" if the file names none
	question string
	answer   string
	choices  string // lettered lines; "" if there are none
}

func readerFor(f io.ReaderAt, path string, m *mapping) (reader, error) {
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	head = head[:n]
	ext := strings.ToLower(filepath.Ext(path))
	text := bytes.TrimLeft(bytes.TrimPrefix(head, utf8BOM), " \t\r\n")
	parquet, lines := reader(readParquet), reader(readJSONL)
	if m != nil {
		parquet, lines = m.readParquet, jsonlReader(m.parseLine)
	}
	switch {
	case bytes.HasPrefix(head, parquetfile.Magic):
		return parquet, nil
	case ext == ".parquet":
		return nil, fmt.Errorf("is not a parquet file: it begins with %q", head[:min(n, 8)])
	case ext == ".csv" || ext == ".tsv":
		if m == nil {
			if m, err = knownCSV.mapping(); err != nil {
				return nil, err
			}
		}
		return m.csvReader(map[string]rune{".csv": ',', ".tsv": '\t'}[ext]), nil
	case len(text) == 0 || text[0] == '{' || ext == ".jsonl" || ext == ".ndjson":
		return lines, nil
	case text[0] == '[':
		return nil, errors.New("is one JSON array; write one object a line instead (jq -c '.[]')")
	}
	return nil, fmt.Errorf("is neither parquet nor JSON lines nor named .csv: it begins with %q", head[:min(n, 8)])
}

// plain drops the path from an error of package os: the caller names it.
func plain(err error) error {
	if pe, ok := err.(*os.PathError); ok { //nolint:errorlint // one that is wrapped keeps its text
		return pe.Err
	}
	return err
}

// missing says which columns a file has and which it needs.
func missing(have []string) error {
	return fmt.Errorf("has not the columns that are needed: prompt[0].content and reward_model.ground_truth, or problem and answer (problems.question and problems.answer name others); it has %s",
		strings.Join(have, ", "))
}
