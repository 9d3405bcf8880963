package dataset

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"github.com/justrl/justrl/internal/parquetfile"
)

// readParquet reads the few columns that are needed side by side, a page at a
// time, and puts rows together by repetition level. It goes by the columns'
// own paths and not by a Go struct: writers name a list's inner groups
// differently, and a struct's list that the file lacks would read as one empty
// element.
func readParquet(f io.ReaderAt, size int64, add func(record) error) error {
	return parquetfile.Read(f, size, func(file *parquetfile.File) error {
		want, err := pickColumns(file.Schema())
		if err != nil {
			return err
		}
		row := int64(0)
		for group := range file.Groups {
			if err := readGroup(file, group, want, &row, add); err != nil {
				return err
			}
		}
		return nil
	})
}

// columns are leaf indexes, -1 where a file lacks one.
type columns struct {
	question, role, answer int
	ids                    []int // by precedence
	names                  map[int]string
}

func pickColumns(schema *parquet.Schema) (columns, error) {
	c := columns{names: map[int]string{}}
	var have []string
	leaf := func(match func(path []string) bool) int {
		i := slices.IndexFunc(schema.Columns(), match)
		if i >= 0 {
			c.names[i] = strings.Join(schema.Columns()[i], ".")
		}
		return i
	}
	named := func(name string) int {
		return leaf(func(path []string) bool { return strings.Join(path, ".") == name })
	}
	inPrompt := func(name string) int {
		return leaf(func(path []string) bool { return path[0] == "prompt" && len(path) > 1 && path[len(path)-1] == name })
	}
	for _, path := range schema.Columns() {
		have = append(have, strings.Join(path, "."))
	}
	c.question, c.role, c.answer = inPrompt("content"), inPrompt("role"), named("reward_model.ground_truth")
	if c.question < 0 || c.answer < 0 {
		c.question, c.role, c.answer = named("problem"), -1, named("answer")
	}
	if c.question < 0 || c.answer < 0 {
		return c, missing(have)
	}
	for _, name := range [...]string{"extra_info.index", "extra_info.id", "id", "problem_idx"} {
		if i := named(name); i >= 0 {
			c.ids = append(c.ids, i)
		}
	}
	return c, nil
}

func readGroup(file *parquetfile.File, group int, want columns, row *int64, add func(record) error) (err error) {
	var all []*cells
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.close())
		}
	}()
	for _, i := range append([]int{want.question, want.role, want.answer}, want.ids...) {
		var c *cells // of none
		if i >= 0 {
			if c, err = openCells(file, group, i, want.names[i]); err != nil {
				return err
			}
		}
		all = append(all, c)
	}
	question, role, answer, ids := all[0], all[1], all[2], all[3:]
	for range file.RowGroups()[group].NumRows() {
		for _, c := range all {
			if err := c.nextRow(); err != nil {
				return fmt.Errorf("row %d: %w", *row, err)
			}
		}
		r, err := rowRecord(question, role, answer, ids)
		if err != nil {
			return fmt.Errorf("row %d: %w", *row, err)
		}
		if err := add(r); err != nil {
			return err
		}
		*row++
	}
	return nil
}

func rowRecord(question, role, answer *cells, ids []*cells) (record, error) {
	var r record
	var err error
	if n := len(question.row); n != 1 {
		return r, fmt.Errorf("%s has %d entries; only a single user message can be rendered", question.name, n)
	}
	if role != nil && len(role.row) == 1 && role.row[0] != nil && *role.row[0] != "user" {
		return r, fmt.Errorf("%s is %q; only a single user message can be rendered", role.name, *role.row[0])
	}
	if r.question, err = question.one(); err != nil {
		return r, err
	}
	if r.answer, err = answer.one(); err != nil {
		return r, err
	}
	for _, c := range ids {
		if len(c.row) == 1 && c.row[0] != nil && *c.row[0] != "" {
			r.id = *c.row[0]
			break
		}
	}
	return r.checked()
}

// maxRowEntries bounds a list.
const maxRowEntries = 1 << 20

// valuesAtOnce is how many values of a column are decoded ahead.
const valuesAtOnce = 128

// cells reads one column row by row. A nil *cells is a column that the file lacks.
type cells struct {
	name   string
	values *parquetfile.Values
	row    []*string // the current row's values; nil is null
	size   int       // bytes of their texts
	text   func(parquet.Value) (*string, error)
}

// openCells opens the column of a leaf in a row group.
func openCells(f *parquetfile.File, group, leaf int, name string) (*cells, error) {
	v, err := f.Values(group, leaf, valuesAtOnce)
	if err != nil {
		return nil, fmt.Errorf("is damaged: read %s: %w", name, err)
	}
	return &cells{name: name, values: v, text: valueText}, nil
}

// keep bounds what a row may have: a list without an end would take all memory.
func (c *cells) keep(row []*string, text *string) ([]*string, error) {
	if len(row) == maxRowEntries {
		return nil, fmt.Errorf("has more than %d entries in one row", maxRowEntries)
	}
	if text != nil {
		c.size += len(*text)
	}
	if c.size > maxLine {
		return nil, fmt.Errorf("has more than %d bytes in one row", maxLine)
	}
	return append(row, text), nil
}

// nextRow fills row with the values up to the next one that begins a row.
func (c *cells) nextRow() error {
	if c == nil {
		return nil
	}
	c.row, c.size = c.row[:0], 0
	for {
		v, more, err := c.values.Next(len(c.row) == 0)
		if err != nil {
			return fmt.Errorf("is damaged: read %s: %w", c.name, err)
		}
		if !more {
			return nil
		}
		text, err := c.text(v)
		if err != nil {
			return fmt.Errorf("read %s: %w", c.name, err)
		}
		if c.row, err = c.keep(c.row, text); err != nil {
			return fmt.Errorf("%s %w", c.name, err)
		}
	}
}

func (c *cells) close() error {
	if c == nil {
		return nil
	}
	return c.values.Close()
}

func (c *cells) one() (string, error) {
	if len(c.row) != 1 {
		return "", fmt.Errorf("%s has %d values, want 1", c.name, len(c.row))
	}
	if c.row[0] == nil {
		return "", fmt.Errorf("%s is null", c.name)
	}
	return *c.row[0], nil
}

// valueText copies a value out of its page; nil is null.
func valueText(v parquet.Value) (*string, error) {
	if v.IsNull() {
		return nil, nil
	}
	var s string
	switch v.Kind() {
	case parquet.ByteArray, parquet.FixedLenByteArray:
		if s = string(v.ByteArray()); !utf8.ValidString(s) {
			return nil, errors.New("is not UTF-8 text")
		}
	case parquet.Int32:
		s = strconv.Itoa(int(v.Int32()))
	case parquet.Int64:
		s = strconv.FormatInt(v.Int64(), 10)
	case parquet.Double:
		s = strconv.FormatFloat(v.Double(), 'f', -1, 64)
	default:
		return nil, fmt.Errorf("a %s is neither text nor a number", v.Kind())
	}
	return &s, nil
}
