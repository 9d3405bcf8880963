package dataset

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"github.com/justrl/justrl/internal/parquetfile"
)

// Scalars calls each for every row of the file at path, in order, with all of the
// row's columns that can be told as text: reward_model.ground_truth for a field
// of a struct, prompt[0].content for a field of a list's first struct, and a list of
// scalars in one, its entries separated by ", ". Nulls, empty lists and bytes that are
// no text are left out. Numbers are as they are written, booleans are true or false.
//
// values is the callee's to keep. An error of each ends the reading; errors name
// the file and the row or line. Unlike [Open] it needs no column to be there.
func Scalars(ctx context.Context, path string, each func(values map[string]string) error) error {
	if err := scalars(ctx, path, each); err != nil {
		return fmt.Errorf("dataset %s: %w", path, plain(err))
	}
	return nil
}

func scalars(ctx context.Context, path string, each func(map[string]string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	rows := 0
	add := func(values map[string]string) error {
		if rows++; rows%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return each(values)
	}
	var magic [4]byte
	n, err := f.ReadAt(magic[:], 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case bytes.Equal(magic[:n], parquetfile.Magic):
		return parquetScalars(f, info.Size(), add)
	case strings.EqualFold(filepath.Ext(path), ".parquet"):
		return fmt.Errorf("is not a parquet file: it begins with %q", magic[:n])
	case strings.EqualFold(filepath.Ext(path), ".csv"):
		return csvScalars(f, ',', add)
	case strings.EqualFold(filepath.Ext(path), ".tsv"):
		return csvScalars(f, '\t', add)
	}
	return jsonScalars(f, add)
}

// leaf is a parquet column and what it is called.
type leaf struct {
	name string
	kind listing
}

// listing says what of a column's values of a row counts.
type listing int

const (
	single  listing = iota // there is one
	joined                 // all of a list of scalars
	leading                // those of a list's first struct
)

func parquetScalars(f io.ReaderAt, size int64, each func(map[string]string) error) error {
	return parquetfile.Read(f, size, func(file *parquetfile.File) error {
		leaves := map[int]leaf{}
		for i, path := range file.Schema().Columns() {
			if l, ok := leafOf(file.Schema(), path); ok {
				leaves[i] = l
			}
		}
		if len(leaves) == 0 {
			return errors.New("has no columns that are text or numbers")
		}
		row := 0
		for group := range file.Groups {
			if err := groupScalars(file, group, leaves, &row, each); err != nil {
				return err
			}
		}
		return nil
	})
}

// leafOf names a column after its path without what the format puts between a
// list and its entries. A list within a list has no name.
func leafOf(node parquet.Node, path []string) (leaf, bool) {
	var l leaf
	name, skip := "", false
	for i, part := range path {
		for _, field := range node.Fields() {
			if field.Name() == part {
				node = field
				break
			}
		}
		if skip { // an entry of a list
			skip = false
			continue
		}
		if node.Repeated() {
			if l.kind != single {
				return l, false
			}
			l.kind = joined
			// A repeated group with one field is what the format puts there; else it is itself the entry.
			if wrapper := !node.Leaf() && len(node.Fields()) == 1; wrapper || i > 0 && slices.Contains([]string{"list", "array", "bag"}, part) {
				skip = wrapper
				continue
			}
		} else if l.kind == joined {
			l.kind, name = leading, name+"[0]"
		}
		if name != "" {
			name += "."
		}
		name += part
	}
	l.name = name
	if node.Type().Kind() == parquet.Int96 {
		return l, false
	}
	return l, true
}

func groupScalars(file *parquetfile.File, group int, leaves map[int]leaf, row *int, each func(map[string]string) error) (err error) {
	open := map[int]*cells{}
	defer func() {
		for _, c := range open {
			err = errors.Join(err, c.close())
		}
	}()
	for i, l := range leaves {
		c, err := openCells(file, group, i, l.name)
		if err != nil {
			return err
		}
		c.text = func(v parquet.Value) (*string, error) { return anyText(v), nil }
		open[i] = c
	}
	for range file.RowGroups()[group].NumRows() {
		values := map[string]string{}
		for i, l := range leaves {
			if err := open[i].nextRow(); err != nil {
				return fmt.Errorf("row %d: %w", *row, err)
			}
			if text := open[i].told(l.kind); text != nil {
				values[l.name] = *text
			}
		}
		if err := each(values); err != nil {
			return err
		}
		*row++
	}
	return nil
}

// told is what counts of a row's values.
func (c *cells) told(kind listing) *string {
	if kind != joined {
		return c.row[0]
	}
	var parts []string
	for _, v := range c.row {
		if v != nil {
			parts = append(parts, *v)
		}
	}
	if parts == nil {
		return nil
	}
	s := strings.Join(parts, ", ")
	return &s
}

// anyText is valueText for the kinds that no question or answer has, too.
func anyText(v parquet.Value) *string {
	if !v.IsNull() && (v.Kind() == parquet.Boolean || v.Kind() == parquet.Float) {
		s := v.String()
		return &s
	}
	s, err := valueText(v)
	if err != nil {
		return nil
	}
	return s
}

func jsonScalars(f io.Reader, each func(map[string]string) error) error {
	sc := bufio.NewScanner(f)
	sc.Buffer(make([]byte, 0, 1<<16), maxLine)
	n := 1
	for ; sc.Scan(); n++ {
		line := sc.Bytes()
		if n == 1 {
			line = bytes.TrimPrefix(line, utf8BOM)
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if !utf8.Valid(line) {
			return fmt.Errorf("line %d: is not UTF-8", n)
		}
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.UseNumber()
		var top map[string]any
		if err := dec.Decode(&top); err != nil {
			return fmt.Errorf("line %d: not a JSON object: %w", n, err)
		}
		values := map[string]string{}
		flatten(values, "", top)
		if err := each(values); err != nil {
			return err
		}
	}
	return lineError(sc.Err(), n)
}

// flatten puts what is in v, under name, into values.
func flatten(values map[string]string, name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, in := range v {
			at := k
			if name != "" {
				at = name + "." + k
			}
			flatten(values, at, in)
		}
	case []any:
		var parts []string
		for _, in := range v {
			s, ok := scalarOf(in)
			if !ok {
				flatten(values, name+"[0]", v[0])
				return
			}
			parts = append(parts, s)
		}
		if parts != nil {
			values[name] = strings.Join(parts, ", ")
		}
	default:
		if s, ok := scalarOf(v); ok && v != nil {
			values[name] = s
		}
	}
}

func scalarOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return fmt.Sprint(v), true
	case nil:
		return "", true
	}
	return "", false
}

func csvScalars(f io.Reader, comma rune, each func(map[string]string) error) error {
	in := &limited{in: skipBOM(f)}
	r := csv.NewReader(in)
	r.Comma = comma
	names, err := r.Read()
	for err == nil {
		in.next(r)
		var fields []string
		if fields, err = r.Read(); err != nil {
			break
		}
		values := map[string]string{}
		for i, v := range fields {
			if utf8.ValidString(v) {
				values[strings.TrimSpace(names[i])] = v
			}
		}
		if err := each(values); err != nil {
			return err
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return csvError(err)
}
