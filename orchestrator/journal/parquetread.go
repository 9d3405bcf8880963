package journal

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"github.com/justrl/justrl/internal/parquetfile"
)

// What a row of a parquet file may have; more would take all memory.
const (
	maxRowTokens = 1 << 22  // of a list
	maxRowText   = 64 << 20 // bytes
)

// valuesAtOnce is how many values of a column are decoded ahead.
const valuesAtOnce = 512

// parquetColumns are those that are read, by their place among a row's cells.
const (
	colGroup = iota
	colProblemID
	colSample
	colPrompt
	colTokens
	colLogprobs
	colText
	colFinish
	colReward
	colPenalty
	colCorrect
	colAnswer
	colVersion
	colServer
	columnCount
)

// columnNames are the columns' names, in that order.
var columnNames = [columnCount]string{
	"group", "problem_id", "sample", "prompt_token_ids", "token_ids", "logprobs", "text", "finish_reason",
	"reward", "penalty", "correct", "answer", "weights_version", "server",
}

// textColumns are those of a [RolloutText].
var textColumns = []int{colProblemID, colText, colFinish, colReward}

// readParquet calls each for every row, with only the columns of want filled in;
// nil is all of them, which must then be there: a footer has no checksum, and the
// name of a column may be what is damaged. Else a column that the file lacks, as
// one that is null, is nil in the line, or empty. The rows' lists are the callee's
// to keep.
//
// One row group's pages are read side by side: beside the row, memory holds a
// page a column. each's errors come as they are.
func readParquet(f io.ReaderAt, size int64, want []int, each func(row int, l rolloutLine) error) error {
	err := parquetfile.Read(f, size, func(file *parquetfile.File) error {
		leaves, err := leavesOf(file.Schema(), want)
		if err != nil {
			return err
		}
		row := 1
		for group := range file.Groups {
			if err := readRowGroup(file, group, leaves, &row, each); err != nil {
				return err
			}
		}
		return nil
	})
	var own eachError
	if errors.As(err, &own) {
		return own.error
	}
	if err != nil { // what is read here was written here, and not fetched
		return errors.New(strings.NewReplacer(": fetch the file again", "", ": fetch it again", "").Replace(err.Error()))
	}
	return nil
}

// eachError is one of the callee's.
type eachError struct{ error }

// leavesOf finds the columns; -1 is none. A list's only column is its elements,
// whatever its writer named what is between.
func leavesOf(schema *parquet.Schema, want []int) (leaves [columnCount]int, err error) {
	all := want == nil
	if all {
		for i := range columnCount {
			want = append(want, i)
		}
	}
	for i := range leaves {
		leaves[i] = -1
	}
	for _, i := range want {
		for leaf, path := range schema.Columns() {
			if path[0] != columnNames[i] {
				continue
			}
			if leaves[i] >= 0 {
				return leaves, fmt.Errorf("the column %s has several columns in it, and should be one of values", columnNames[i])
			}
			leaves[i] = leaf
		}
		if all && leaves[i] < 0 {
			return leaves, fmt.Errorf("has no column %s", columnNames[i])
		}
	}
	return leaves, nil
}

func readRowGroup(file *parquetfile.File, group int, leaves [columnCount]int, row *int, each func(int, rolloutLine) error) (err error) {
	var cols [columnCount]*parquetfile.Values
	defer func() {
		for _, c := range cols {
			err = errors.Join(err, c.Close())
		}
	}()
	for i, leaf := range leaves {
		if leaf < 0 {
			continue
		}
		if cols[i], err = file.Values(group, leaf, valuesAtOnce); err != nil {
			return fmt.Errorf("%s: %w", columnNames[i], err)
		}
	}
	for range file.RowGroups()[group].NumRows() {
		var l rolloutLine
		for i, c := range cols {
			if c == nil {
				continue
			}
			if err := into(&l, c, i); err != nil {
				return fmt.Errorf("row %d, %s: %w", *row, columnNames[i], err)
			}
		}
		if err := each(*row, l); err != nil {
			return eachError{err}
		}
		*row++
	}
	return nil
}

// into reads the next row's cell of column i, whose values are c's.
func into(l *rolloutLine, c *parquetfile.Values, i int) (err error) {
	switch i {
	case colGroup:
		l.Group, err = scalar(c, wholeNumber[int64])
	case colSample:
		l.Sample, err = scalar(c, wholeNumber[int])
	case colVersion:
		l.WeightsVersion, err = scalar(c, wholeNumber[int64])
	case colReward:
		l.Reward, err = scalar(c, finite[float64])
	case colCorrect:
		l.Correct, err = scalar(c, truth)
	case colPenalty:
		var v *float64
		if v, err = scalar(c, finite[float64]); v != nil {
			l.Penalty = *v
		}
	case colPrompt:
		l.PromptTokenIDs, err = list(c, wholeNumber[int32])
	case colTokens:
		l.TokenIDs, err = list(c, wholeNumber[int32])
	case colLogprobs:
		l.Logprobs, err = list(c, finite[float32])
	default:
		text := map[int]*string{colProblemID: &l.ProblemID, colText: &l.Text, colFinish: &l.FinishReason, colAnswer: &l.Answer, colServer: &l.Server}[i]
		var v *string
		if v, err = scalar(c, textOf); v != nil {
			*text = *v
		}
	}
	return err
}

// eachValue calls do with the values of the next row, in order.
func eachValue(c *parquetfile.Values, do func(parquet.Value) error) error {
	for n := 0; ; n++ {
		v, more, err := c.Next(n == 0)
		if err != nil {
			return fmt.Errorf("is damaged: %w", err)
		}
		if !more {
			return nil
		}
		if n == maxRowTokens {
			return fmt.Errorf("has more than %d entries in one row", maxRowTokens)
		}
		if err := do(v); err != nil {
			return err
		}
	}
}

// scalar is the one value of the next row; nil is null.
func scalar[T any](c *parquetfile.Values, of func(parquet.Value) (T, error)) (one *T, err error) {
	n := 0
	err = eachValue(c, func(v parquet.Value) error {
		if n++; n > 1 {
			return errors.New("is a list, and should be one value")
		}
		if v.IsNull() {
			return nil
		}
		x, err := of(v)
		one = &x
		return err
	})
	return one, err
}

// list is the values of the next row; nil is null, or empty.
func list[T any](c *parquetfile.Values, of func(parquet.Value) (T, error)) (all []T, err error) {
	n, null := 0, false
	err = eachValue(c, func(v parquet.Value) error {
		n++
		if null = null || v.IsNull(); null && n > 1 {
			return errors.New("has null among its numbers")
		}
		if null {
			return nil
		}
		x, err := of(v)
		all = append(all, x)
		return err
	})
	return slices.Clone(all), err // without the room that it has grown into
}

func wholeNumber[T int | int32 | int64](v parquet.Value) (T, error) {
	var n int64
	switch v.Kind() {
	case parquet.Int32:
		n = int64(v.Int32())
	case parquet.Int64:
		n = v.Int64()
	default:
		return 0, fmt.Errorf("is a %s, and should be an integer", v.Kind())
	}
	if int64(T(n)) != n {
		return 0, fmt.Errorf("has %d, which is too large", n)
	}
	return T(n), nil
}

func finite[T float32 | float64](v parquet.Value) (T, error) {
	var x float64
	switch v.Kind() {
	case parquet.Float:
		x = float64(v.Float())
	case parquet.Double:
		x = v.Double()
	case parquet.Int32:
		x = float64(v.Int32())
	case parquet.Int64:
		x = float64(v.Int64())
	default:
		return 0, fmt.Errorf("is a %s, and should be a number", v.Kind())
	}
	if y := float64(T(x)); math.IsNaN(y) || math.IsInf(y, 0) {
		return 0, fmt.Errorf("has %g, and should be finite", x)
	}
	return T(x), nil
}

func truth(v parquet.Value) (bool, error) {
	if v.Kind() != parquet.Boolean {
		return false, fmt.Errorf("is a %s, and should be a boolean", v.Kind())
	}
	return v.Boolean(), nil
}

func textOf(v parquet.Value) (string, error) {
	if v.Kind() != parquet.ByteArray && v.Kind() != parquet.FixedLenByteArray {
		return "", fmt.Errorf("is a %s, and should be text", v.Kind())
	}
	b := v.ByteArray()
	if len(b) > maxRowText || !utf8.Valid(b) {
		return "", fmt.Errorf("is no UTF-8 text of at most %d bytes", maxRowText)
	}
	return string(b), nil
}

// openParquet opens a file that is read as parquet.
func openParquet(path string, read func(f io.ReaderAt, size int64) error) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("rollouts: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("rollouts: %w", err)
	}
	return read(f, st.Size())
}
