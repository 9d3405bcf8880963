package dataset

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// knownCSV is what a CSV file is read as where no columns are named.
var knownCSV = Columns{Question: "problem", Answer: "answer"}

// csvReader reads rows under a header row, as RFC 4180 has them: fields in
// double quotes may hold commas and line breaks. comma separates them.
func (m *mapping) csvReader(comma rune) reader {
	return func(f io.ReaderAt, size int64, add func(record) error) error {
		in := &limited{in: skipBOM(io.NewSectionReader(f, 0, size))}
		r := csv.NewReader(in)
		r.Comma, r.ReuseRecord = comma, true
		header, err := r.Read()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: the file has no header row", ErrEmpty)
		}
		if err != nil {
			return csvError(err)
		}
		at, err := m.inHeader(slices.Clone(header))
		if err != nil {
			return err
		}
		for {
			in.next(r)
			fields, err := r.Read()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return csvError(err)
			}
			line, _ := r.FieldPos(0)
			rec, err := m.record(func(p columnPath) ([]*string, error) {
				i, ok := at[p.text]
				if !ok {
					return nil, nil
				}
				text := strings.Clone(fields[i]) // else the whole row is kept with it
				if !utf8.ValidString(text) {
					return nil, fmt.Errorf("%s is not UTF-8", p.text)
				}
				return []*string{&text}, nil
			})
			if err != nil {
				return fmt.Errorf("line %d: %w", line, err)
			}
			if err := add(rec); err != nil {
				return err
			}
		}
	}
}

// inHeader is where the mapping's columns are, by their text.
func (m *mapping) inHeader(header []string) (map[string]int, error) {
	at := map[string]int{}
	for i, name := range header {
		name = strings.TrimSpace(name)
		if _, twice := at[name]; twice {
			return nil, fmt.Errorf("line 1: the header has %q twice", name)
		}
		at[name] = i
	}
	needed := append([]columnPath{m.question, m.answer}, m.choices...)
	if m.idNeeded {
		needed = append(needed, m.ids...)
	}
	for _, p := range needed {
		if _, ok := at[p.text]; !ok {
			return nil, fmt.Errorf("line 1: has no column %s; it has %s", p.text, strings.Join(header, ", "))
		}
	}
	return at, nil
}

// csvError says where in the words of the other readers.
func csvError(err error) error {
	var p *csv.ParseError
	switch {
	case !errors.As(err, &p):
		return err
	case errors.Is(p.Err, csv.ErrFieldCount):
		return fmt.Errorf("line %d: has more or fewer fields than the header", p.Line)
	case errors.Is(p.Err, csv.ErrQuote) && p.StartLine != p.Line:
		return fmt.Errorf("line %d: a quote is not closed, or stands within a field (the row begins on line %d)", p.Line, p.StartLine)
	case errors.Is(p.Err, csv.ErrQuote), errors.Is(p.Err, csv.ErrBareQuote):
		return fmt.Errorf("line %d: a quote is not closed, or stands within a field", p.Line)
	}
	return fmt.Errorf("line %d: %w", p.Line, p.Err)
}

func skipBOM(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 1<<16)
	if head, err := b.Peek(len(utf8BOM)); err == nil && bytes.Equal(head, utf8BOM) {
		_, _ = b.Discard(len(utf8BOM)) // they are there
	}
	return b
}

// limited ends a file in which one row goes on and on: a quote that is never
// closed would take all of it into memory.
type limited struct {
	in         io.Reader
	from, read int64 // where the row begins, and what has been read
	after      int   // the line on which the row before it begins
}

// next says that r has read a row.
func (l *limited) next(r *csv.Reader) {
	l.from = r.InputOffset()
	l.after, _ = r.FieldPos(0)
}

func (l *limited) Read(b []byte) (int, error) {
	if l.read-l.from > maxLine {
		return 0, fmt.Errorf("the row after line %d is longer than %d bytes: is a quote not closed?", l.after, maxLine)
	}
	n, err := l.in.Read(b)
	l.read += int64(n)
	return n, err
}
