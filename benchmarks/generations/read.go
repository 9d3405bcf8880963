package generations

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/justrl/justrl/benchmarks"
)

// maxLine bounds a line: an answer of 31,744 tokens is about 0.1 MB.
const maxLine = 256 << 20

// chunk is how much is read at a time.
const chunk = 1 << 20

// LineError is a line that cannot be read.
type LineError struct {
	Path string
	Line int // from 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.Path, e.Line, e.Err) }
func (e *LineError) Unwrap() error { return e.Err }

// TornError is a last line that is no JSON: its writer was stopped in the
// middle. All before it is good.
type TornError struct {
	Path   string
	Line   int   // from 1
	Offset int64 // where it begins: a file cut there is whole
	Err    error
}

func (e *TornError) Error() string {
	return fmt.Sprintf("%s:%d: the last line is broken off: %v", e.Path, e.Line, e.Err)
}
func (e *TornError) Unwrap() error { return e.Err }

// Line is where a line is.
type Line struct {
	Number int   // from 1
	Offset int64 // in bytes
	Length int   // in bytes, without its line break
}

// Scan reads a file and calls do with each generation, in order, on the
// caller's goroutine. It blocks until the end, an error of do, which it returns
// as a [LineError], or a line that cannot be read. After a [TornError] do has
// seen every whole line. A file without any is an error.
func Scan(path string, do func(at Line, g benchmarks.Generation) error) error {
	return scan(path, func(at Line, r record) error { return do(at, r.generation()) })
}

func scan(path string, do func(at Line, r record) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	return scanFrom(path, f, do)
}

func scanFrom(path string, from io.Reader, do func(at Line, r record) error) error {
	var s scanner
	var torn *TornError // the line before, if that was no JSON
	found := false
	err := lines(from, func(at Line, line []byte) error {
		if at.Number == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if len(bytes.TrimSpace(line)) == 0 {
			return nil
		}
		if torn != nil { // it is not the last
			return &LineError{path, torn.Line, torn.Err}
		}
		found = true
		r, err := s.decode(line)
		if err == nil {
			err = do(at, r)
		} else if broken(err, line) {
			torn = &TornError{path, at.Number, at.Offset, err}
			return nil
		}
		if err != nil {
			return &LineError{path, at.Number, err}
		}
		return nil
	})
	var located *LineError
	switch {
	case errors.As(err, &located):
		return err
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	case torn != nil:
		return torn
	case !found:
		return fmt.Errorf("%s: has no lines", path)
	}
	return nil
}

// broken tells whether a line is what a write that was cut short can leave: no
// JSON, or the middle of a character.
func broken(err error, line []byte) bool {
	var syntax *syntaxError
	return errors.As(err, &syntax) || invalidAt(line) < len(line)
}

// lines calls do with every line, which lives until the next. The last need not end.
func lines(from io.Reader, do func(at Line, line []byte) error) error {
	r := bufio.NewReaderSize(from, chunk)
	var long []byte // a line longer than r's buffer
	var at Line
	for {
		part, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			if long = append(long, part...); len(long) > maxLine {
				return fmt.Errorf("line %d is longer than %d bytes", at.Number+1, maxLine)
			}
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(long) > 0 {
			long = append(long, part...)
			part = long
		}
		if len(part) == 0 {
			return nil
		}
		end := err
		at.Number++
		at.Length = len(bytes.TrimSuffix(part, []byte("\n")))
		if err := do(at, part[:at.Length]); err != nil {
			return err
		}
		if end != nil {
			return nil
		}
		at.Offset += int64(len(part))
		long = long[:0]
	}
}
