package dataset

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/justrl/justrl/internal/parquetfile"
)

// readParquet reads the mapping's columns side by side, as the function of the
// known schemas does.
func (m *mapping) readParquet(f io.ReaderAt, size int64, add func(record) error) error {
	return parquetfile.Read(f, size, func(file *parquetfile.File) error {
		leaves, err := m.leaves(file.Root())
		if err != nil {
			var have []string
			for _, path := range file.Schema().Columns() {
				have = append(have, strings.Join(path, "."))
			}
			return fmt.Errorf("%w; it has %s", err, strings.Join(have, ", "))
		}
		row := int64(0)
		for group := range file.Groups {
			if err := m.readGroup(file, group, leaves, &row, add); err != nil {
				return err
			}
		}
		return nil
	})
}

// leaves finds the parquet column of each of the mapping's, by its text.
func (m *mapping) leaves(root *parquet.Column) (map[string]int, error) {
	leaves := map[string]int{}
	find := func(p columnPath, needed bool) error {
		leaf := leafAt(root, p.steps, false)
		index := false
		for _, s := range p.steps {
			index = index || s.index >= 0
		}
		switch {
		case leaf == nil && needed:
			return fmt.Errorf("has no column %s", p.text)
		case leaf == nil:
			return nil
		case leaf.MaxRepetitionLevel() > 1:
			return fmt.Errorf("%s is a list of lists", p.text)
		case index && leaf.MaxRepetitionLevel() == 0:
			return fmt.Errorf("%s has an index, and the column is no list", p.text)
		}
		leaves[p.text] = leaf.Index()
		return nil
	}
	errs := []error{find(m.question, true), find(m.answer, true)}
	for _, p := range m.ids {
		errs = append(errs, find(p, m.idNeeded))
	}
	for _, p := range m.choices {
		errs = append(errs, find(p, true))
	}
	for _, err := range errs { // one is enough
		if err != nil {
			return nil, err
		}
	}
	return leaves, nil
}

// leafAt walks down by names. Writers put one or two groups of names of their own
// between a list and its elements: only children, which are passed through.
func leafAt(c *parquet.Column, steps []pathStep, inList bool) *parquet.Column {
	if c.Leaf() {
		if len(steps) > 0 {
			return nil
		}
		return c
	}
	children := c.Columns()
	for _, child := range children {
		if len(steps) > 0 && child.Name() == steps[0].name {
			if leaf := leafAt(child, steps[1:], false); leaf != nil {
				return leaf
			}
		}
	}
	if len(children) == 1 && (children[0].Repeated() || inList) {
		return leafAt(children[0], steps, children[0].Repeated())
	}
	return nil
}

func (m *mapping) readGroup(file *parquetfile.File, group int, leaves map[string]int, row *int64, add func(record) error) (err error) {
	open := map[string]*cells{}
	defer func() {
		for _, c := range open {
			err = errors.Join(err, c.close())
		}
	}()
	for text, i := range leaves {
		c, err := openCells(file, group, i, text)
		if err != nil {
			return err
		}
		c.text = scalarText
		open[text] = c
	}
	get := func(p columnPath) ([]*string, error) {
		c := open[p.text]
		if c == nil {
			return nil, nil
		}
		for _, s := range p.steps {
			if s.index >= 0 {
				if s.index >= len(c.row) {
					return nil, nil
				}
				return c.row[s.index : s.index+1], nil
			}
		}
		return c.row, nil
	}
	for range file.RowGroups()[group].NumRows() {
		for _, c := range open {
			if err := c.nextRow(); err != nil {
				return fmt.Errorf("row %d: %w", *row, err)
			}
		}
		r, err := m.record(get)
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

// scalarText is valueText, and of truth values and small floats.
func scalarText(v parquet.Value) (*string, error) {
	var s string
	switch {
	case v.IsNull():
		return nil, nil
	case v.Kind() == parquet.Boolean:
		s = strconv.FormatBool(v.Boolean())
	case v.Kind() == parquet.Float:
		s = strconv.FormatFloat(float64(v.Float()), 'f', -1, 32)
	default:
		return valueText(v)
	}
	return &s, nil
}
