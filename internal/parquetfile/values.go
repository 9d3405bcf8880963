package parquetfile

import (
	"errors"
	"io"

	"github.com/parquet-go/parquet-go"
)

// Values reads a column chunk value by value, and holds one of its pages at a time.
// It is not safe for concurrent use.
type Values struct {
	pages  *Pages
	page   parquet.Page
	reader parquet.ValueReader
	buf    []parquet.Value
	have   []parquet.Value // unread part of buf
}

// Values opens the column chunk of a leaf column in a row group, both counted from 0,
// to decode so many values at once. The caller closes it.
func (f *File) Values(group, leaf, atOnce int) (*Values, error) {
	p, err := f.Pages(group, leaf)
	if err != nil {
		return nil, err
	}
	return &Values{pages: p, buf: make([]parquet.Value, atOnce)}, nil
}

// Next takes the next value of a row, of which first is the first: false after the
// row's last. Its bytes are good until the next call. The error is
// io.ErrUnexpectedEOF where there is no other row.
func (v *Values) Next(first bool) (value parquet.Value, more bool, err error) {
	if len(v.have) == 0 {
		switch err := v.fill(); {
		case errors.Is(err, io.EOF) && first:
			return value, false, io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			return value, false, nil
		case err != nil:
			return value, false, err
		}
	}
	value = v.have[0]
	if !first && value.RepetitionLevel() == 0 {
		return parquet.Value{}, false, nil
	}
	v.have = v.have[1:]
	return value, true, nil
}

// fill decodes more values, of the next page where this one is used up.
func (v *Values) fill() error {
	for {
		if v.reader != nil {
			n, err := v.pages.Read(v.reader, v.buf)
			if v.have = v.buf[:n]; n > 0 {
				return nil
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			v.release()
		}
		page, err := v.pages.ReadPage()
		if err != nil {
			return err
		}
		v.page, v.reader = page, page.Values()
	}
}

func (v *Values) release() {
	if v.page != nil {
		parquet.Release(v.page)
	}
	v.page, v.reader = nil, nil
}

// Close ends the reading. A nil Values has nothing to close.
func (v *Values) Close() error {
	if v == nil {
		return nil
	}
	v.release()
	return v.pages.Close()
}
