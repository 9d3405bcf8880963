package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/justrl/justrl/internal/parquetfile"
)

// TestParquetOfOtherWriters reads the files of testdata/parquet/make.py: all have the same rows.
func TestParquetOfOtherWriters(t *testing.T) {
	files, err := filepath.Glob("testdata/parquet/*.parquet")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var want []map[string]string
	for i := range 5 {
		want = append(want, map[string]string{
			"data_source": "made", "prompt[0].content": fmt.Sprintf("What is %d + %d?", i, i), "prompt[0].role": "user",
			"reward_model.ground_truth": fmt.Sprint(2 * i), "reward_model.style": "rule", "extra_info.index": fmt.Sprintf("id-%d", i),
			"note": "a", "flags": []string{"1, 2", "", "", "3", "4, 5, 6"}[i],
			"easy": []string{"true", "false", "", "true", "true"}[i], "weight": []string{"0.5", "1.5", "2.5", "", "4.5"}[i],
		})
		if i%2 == 0 {
			delete(want[i], "note")
		}
		maps.DeleteFunc(want[i], func(_, v string) bool { return v == "" })
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var got []map[string]string
			err := Scalars(t.Context(), path, func(values map[string]string) error {
				got = append(got, values)
				return nil
			})
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%v\n%v\nwant\n%v", err, got, want)
			}
			mapped, err := OpenColumns(t.Context(), path, Columns{Question: "prompt[0].content", Answer: "reward_model.ground_truth"})
			if err != nil || mapped.Len() != 5 {
				t.Fatalf("by its columns: %v, %v", mapped, err)
			}
			if err := mapped.Close(); err != nil {
				t.Error(err)
			}
			src := mustOpen(t, path)
			for i := range src.Len() {
				p, err := src.Problem(t.Context(), i)
				if err != nil || p.ID != want[i]["extra_info.index"] || p.Question != want[i]["prompt[0].content"] || p.Answer != want[i]["reward_model.ground_truth"] {
					t.Fatalf("row %d: %+v, %v", i, p, err)
				}
			}
			if src.Len() != 5 {
				t.Fatalf("%d rows", src.Len())
			}
		})
	}
}

// A file of which no row group has rows is whole: it has no rows.
func TestParquetWithoutRows(t *testing.T) {
	files, err := filepath.Glob("testdata/parquet/empty/*.parquet")
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		if src, err := Open(t.Context(), path); !errors.Is(err, ErrEmpty) || strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v, %v", path, src, err)
		}
		as := Columns{Question: "prompt[0].content", Answer: "reward_model.ground_truth"}
		if src, err := OpenColumns(t.Context(), path, as); !errors.Is(err, ErrEmpty) || strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s by its columns: %v, %v", path, src, err)
		}
		err := Scalars(t.Context(), path, func(values map[string]string) error { return fmt.Errorf("has the row %v", values) })
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestNineSetsAreAsTheLibraryReadsThem compares every value of every column.
func TestNineSetsAreAsTheLibraryReadsThem(t *testing.T) {
	files, err := filepath.Glob("../../../shared/data/benchmarks/*.parquet")
	if err != nil {
		t.Fatal(err)
	}
	own, err := filepath.Glob("testdata/parquet/*.parquet")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Log("SKIPPED: ../shared/data/benchmarks is missing; only our own files are compared")
	}
	for _, path := range append(files, own...) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		values := 0
		err = parquetfile.Read(bytes.NewReader(b), int64(len(b)), func(file *parquetfile.File) error {
			raw, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				return err
			}
			for g := range file.Groups {
				for leaf, chunk := range raw.RowGroups()[g].ColumnChunks() {
					if chunk.Type().Kind() == parquet.Boolean { // see plainBooleans
						continue
					}
					want := everyValue(t, chunk.Pages())
					p, err := file.Pages(g, leaf)
					if err != nil {
						return err
					}
					got := everyValue(t, p)
					if !slices.Equal(got, want) {
						t.Errorf("%s, row group %d, column %d: %.200q, want %.200q", path, g, leaf, got, want)
					}
					values += len(want)
				}
			}
			return nil
		})
		if err != nil || values == 0 {
			t.Errorf("%s: %d values, %v", path, values, err)
		}
	}
}

func everyValue(t *testing.T, pages interface {
	ReadPage() (parquet.Page, error)
	Close() error
}) (all []string) {
	t.Helper()
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		values := make([]parquet.Value, page.NumValues())
		if n, err := page.Values().ReadValues(values); n != len(values) || err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(n, len(values), err)
		}
		for _, v := range values {
			all = append(all, fmt.Sprintf("%+v", v))
		}
		parquet.Release(page)
	}
	if err := pages.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

var compact thrift.CompactProtocol

// rewritten is a parquet file with every page and then the footer changed by edits.
func rewritten(t testing.TB, b []byte, page func(column string, h *format.PageHeader, body []byte) []byte, footer func(*format.FileMetaData)) []byte {
	t.Helper()
	n := int(binary.LittleEndian.Uint32(b[len(b)-8:]))
	var meta format.FileMetaData
	if err := thrift.Unmarshal(&compact, b[len(b)-8-n:len(b)-8], &meta); err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(parquetfile.Magic)
	for g := range meta.RowGroups {
		for c := range meta.RowGroups[g].Columns {
			m := &meta.RowGroups[g].Columns[c].MetaData
			at := m.DataPageOffset
			if m.DictionaryPageOffset > 0 {
				at = m.DictionaryPageOffset
			}
			start := int64(len(out))
			for end := at + m.TotalCompressedSize; at < end; {
				var h format.PageHeader
				r := compact.NewReaderFromBytes(b[at:end])
				if err := thrift.NewDecoder(r).Decode(&h); err != nil {
					t.Fatal(err)
				}
				at += int64(r.BytesRead())
				body := b[at : at+int64(h.CompressedPageSize)]
				at += int64(h.CompressedPageSize)
				if h.Type != format.DictionaryPage {
					m.DataPageOffset = int64(len(out))
				} else {
					m.DictionaryPageOffset = int64(len(out))
				}
				if page != nil {
					body = page(strings.Join(m.PathInSchema, "."), &h, body)
				}
				head, err := thrift.Marshal(&compact, &h)
				if err != nil {
					t.Fatal(err)
				}
				out = append(append(out, head...), body...)
			}
			m.TotalCompressedSize = int64(len(out)) - start
		}
	}
	if footer != nil {
		footer(&meta)
	}
	plain, err := thrift.Marshal(&compact, &meta)
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, plain...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(plain)))
	return append(out, parquetfile.Magic...)
}

func TestDamagedParquetIsRefusedBeforeItTakesMemory(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile("testdata/parquet/pyarrow-" + name + ".parquet")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const truth = "reward_model.ground_truth"
	// of edits the data pages of one column of a file; dictionary its dictionary.
	edit := func(file, column string, of format.PageType, do func(h *format.PageHeader, body []byte) []byte) []byte {
		return rewritten(t, read(file), func(c string, h *format.PageHeader, body []byte) []byte {
			if c == column && h.Type == of {
				return do(h, bytes.Clone(body))
			}
			return body
		}, nil)
	}
	v1 := func(do func(h *format.PageHeader, body []byte) []byte) []byte {
		return edit("none-v1", truth, format.DataPage, do)
	}
	v2 := func(do func(h *format.PageHeader, body []byte) []byte) []byte {
		return edit("none-v2", truth, format.DataPageV2, do)
	}
	meta := func(do func(*format.FileMetaData)) []byte { return rewritten(t, read("none-v1"), nil, do) }
	column := func(m *format.FileMetaData, name string) *format.ColumnMetaData {
		for i := range m.RowGroups[0].Columns {
			if c := &m.RowGroups[0].Columns[i].MetaData; strings.Join(c.PathInSchema, ".") == name {
				return c
			}
		}
		t.Fatal("no column", name)
		return nil
	}
	tests := map[string]struct {
		file []byte
		want string // one line
	}{
		"whole":             {rewritten(t, read("zstd-v1"), nil, nil), ""},
		"compressed size":   {v1(func(h *format.PageHeader, b []byte) []byte { h.CompressedPageSize = 1 << 30; return b }), "compressed_page_size is 1073741824 bytes, and the column has"},
		"negative size":     {v1(func(h *format.PageHeader, b []byte) []byte { h.CompressedPageSize = -1; return b }), "compressed_page_size is -1 bytes"},
		"uncompressed size": {v1(func(h *format.PageHeader, b []byte) []byte { h.UncompressedPageSize = 1 << 30; return b }), "a page of 1073741824 bytes"},
		"no codec's ratio": {edit("snappy-v1", truth, format.DataPage, func(h *format.PageHeader, b []byte) []byte { h.UncompressedPageSize = 1 << 27; return b }),
			"SNAPPY makes at most 22 of one"},
		"zstd that ends early": {edit("zstd-v1", truth, format.DataPage, func(h *format.PageHeader, b []byte) []byte { h.UncompressedPageSize += 5; return b }), "and ZSTD has"},
		"gzip that goes on":    {edit("gzip-v1", truth, format.DataPage, func(h *format.PageHeader, b []byte) []byte { h.UncompressedPageSize -= 5; return b }), "and GZIP has"},
		"snappy of a gigabyte": {edit("snappy-v1", truth, format.DataPage, func(h *format.PageHeader, b []byte) []byte {
			b = append([]byte{0x80, 0x80, 0x80, 0x80, 0x04}, b[1:]...)
			h.CompressedPageSize = int32(len(b))
			return b
		}), "and SNAPPY has 1073741824"},
		"zstd of a gigabyte": {edit("zstd-v1", truth, format.DataPage, func(h *format.PageHeader, _ []byte) []byte {
			b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40, 3, 0, 0}
			h.CompressedPageSize = int32(len(b))
			return b
		}), "ZSTD: "},
		"lz4 without an end": {edit("lz4-v1", truth, format.DataPage, func(h *format.PageHeader, b []byte) []byte { b[0] = 0xff; b[1] = 0xff; return b }), "LZ4"},
		"too many values":    {v1(func(h *format.PageHeader, b []byte) []byte { h.DataPageHeader.V.NumValues = 1 << 30; return b }), "num_values is 1073741824; from 0 to 67108864 are read"},
		"more values than the column": {v1(func(h *format.PageHeader, b []byte) []byte { h.DataPageHeader.V.NumValues = 1000; return b }),
			"num_values is 1000, and the column has 3 left"},
		"fewer values than the column": {v1(func(h *format.PageHeader, b []byte) []byte { h.DataPageHeader.V.NumValues = 1; return b }), "the pages of 3 values end after 1"},
		"a run of a billion": {v1(func(h *format.PageHeader, b []byte) []byte {
			h.CompressedPageSize += 4
			return append([]byte{6, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x07, 1}, b[6:]...)
		}), "runs of more than 1030 values where 3 are needed"},
		"levels beyond the page": {v1(func(h *format.PageHeader, b []byte) []byte { b[3] = 0x7f; return b }), "the page ends within its levels"},
		"levels beyond a v2 page": {v2(func(h *format.PageHeader, b []byte) []byte {
			h.DataPageHeaderV2.V.DefinitionLevelsByteLength = 99
			return b
		}), "levels of 0 and 99 bytes in a page of"},
		"no levels in a v2 page": {v2(func(h *format.PageHeader, b []byte) []byte {
			h.DataPageHeaderV2.V.DefinitionLevelsByteLength = 0
			return b
		}), "the page has levels of 0"},
		"more nulls than values":  {v2(func(h *format.PageHeader, b []byte) []byte { h.DataPageHeaderV2.V.NumNulls = 99; return b }), "num_nulls is 99"},
		"nulls that levels deny":  {v2(func(h *format.PageHeader, b []byte) []byte { h.DataPageHeaderV2.V.NumNulls = 2; return b }), "num_nulls is 2 of num_values 3, and the levels have from 3 to 3"},
		"dictionary of a billion": {edit("none-v1", truth, format.DictionaryPage, func(h *format.PageHeader, b []byte) []byte { h.DictionaryPageHeader.V.NumValues = 1 << 26; return b }), "67108864 values of 4 bytes"},
		"no dictionary":           {edit("none-v1", truth, format.DictionaryPage, func(h *format.PageHeader, b []byte) []byte { h.Type = format.IndexPage; return b }), "it needs a dictionary"},
		"dictionary of fewer":     {edit("none-v1", truth, format.DictionaryPage, func(h *format.PageHeader, b []byte) []byte { h.DictionaryPageHeader.V.NumValues = 1; return b }), "a dictionary of 1 texts, and 15 bytes that have others"},
		"index beyond it": {edit("none-v1", truth, format.DictionaryPage, func(h *format.PageHeader, b []byte) []byte {
			h.DictionaryPageHeader.V.NumValues, h.CompressedPageSize = 1, 5
			return b[:5]
		}), "index out of range"},
		"texts that are not there": {edit("plain", truth, format.DataPage, func(h *format.PageHeader, b []byte) []byte { h.CompressedPageSize = 14; return b[:14] }), "5 values of 4 bytes or more in 8 bytes"},
		"lengths of a billion": {edit("delta_length_byte_array", truth, format.DataPage, func(h *format.PageHeader, b []byte) []byte {
			b = append(b[:6:6], 0x80, 0x01, 0x04, 0x80, 0x80, 0x80, 0x80, 0x04, 0)
			h.CompressedPageSize = int32(len(b))
			return b
		}), "integers for 1073741824 values where at most 5"},
		"beginnings without an end": {edit("delta_byte_array", truth, format.DataPage, func(h *format.PageHeader, b []byte) []byte {
			b = append(b[:6:6], 0x80, 0x01, 0x04, 1, 0x80, 0x80, 0x80, 0x80, 0x04, 0x80, 0x01, 0x04, 1, 2)
			h.CompressedPageSize = int32(len(b))
			return b
		}), "a page of more than 268435456 bytes"},
		"encoding":         {v1(func(h *format.PageHeader, b []byte) []byte { h.DataPageHeader.V.Encoding = 77; return b }), "which is not read"},
		"checksum":         {edit("checksums", truth, format.DataPage, func(h *format.PageHeader, b []byte) []byte { b[len(b)-1] ^= 1; return b }), "its checksum is"},
		"rows of the file": {meta(func(m *format.FileMetaData) { m.NumRows++ }), "the row groups have 5 rows, and the file has 6"},
		"rows of a group":  {meta(func(m *format.FileMetaData) { m.NumRows++; m.RowGroups[0].NumRows++ }), "it has 3 values for 4 rows"},
		"too many rows":    {meta(func(m *format.FileMetaData) { m.RowGroups[0].NumRows = 1 << 40 }), "row group 0 has 1099511627776 rows; from 0 to 268435456 are read"},
		"chunk beyond the file": {meta(func(m *format.FileMetaData) { column(m, truth).TotalCompressedSize = 1 << 40 }),
			"its pages are 1099511627776 bytes at byte"},
		"chunk after the file": {meta(func(m *format.FileMetaData) {
			column(m, truth).DataPageOffset = 1 << 40
			column(m, truth).DictionaryPageOffset = 0
		}), "at byte 1099511627776"},
		"chunk before the file": {meta(func(m *format.FileMetaData) { column(m, truth).DataPageOffset = -5 }), "at byte -5"},
		"chunk in another file": {meta(func(m *format.FileMetaData) {
			m.RowGroups[0].Columns[0].FilePath = "b"
			m.RowGroups[0].Columns[1].FilePath = "b"
		}), "in another file"},
		"a column too few":       {meta(func(m *format.FileMetaData) { m.RowGroups[0].Columns = m.RowGroups[0].Columns[1:] }), "row group 0 has 9 columns, and the schema has 10"},
		"children that are not":  {meta(func(m *format.FileMetaData) { m.Schema[0].NumChildren.V = 1 << 30 }), "has 1073741824 columns below it"},
		"a list of two billion":  {withFooter([]byte{0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07}), "a list is longer than what there is of it"},
		"nesting without an end": {withFooter(bytes.Repeat([]byte{0x1c}, 1<<20)), "more than 32 levels of nesting"},
		"a thousand thousand columns": {withFooter(append([]byte{0x29, 0xfc, 0x80, 0x80, 0x40}, make([]byte, 1<<20)...)),
			"more columns and row groups than are read"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := readParquet(bytes.NewReader(tc.file), int64(len(tc.file)), func(record) error { return nil })
			runtime.ReadMemStats(&after)
			if taken := after.TotalAlloc - before.TotalAlloc; taken > 16<<20 {
				t.Errorf("took %d bytes of memory", taken)
			}
			switch {
			case tc.want == "" && err != nil:
				t.Fatal(err)
			case tc.want == "":
				return
			case err == nil:
				t.Fatal("no error")
			case !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n"):
				t.Fatalf("%v\nwant %q", err, tc.want)
			}
			t.Log(err)
		})
	}
}

// withFooter is a file of nothing but a footer.
func withFooter(footer []byte) []byte {
	b := append(bytes.Clone(parquetfile.Magic), footer...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
	return append(b, parquetfile.Magic...)
}
