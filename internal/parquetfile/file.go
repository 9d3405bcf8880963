// Package parquetfile reads parquet files that others wrote, or damaged, within bounds.
//
// It stands between a file and github.com/parquet-go/parquet-go, which believes
// whatever number a file has: the footer is checked before it is decoded, and each page
// is checked and decompressed here before the library gets it. Nothing that a file
// claims makes room beyond what its bytes can hold and the limits below. Columns are
// read page by page, front to back, whatever their writer named them.
package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// What a parquet file may ask for; what is more is refused before room is made for it.
// Writers make pages of about 1 MB, and footers of some kB a row group.
const (
	maxFooter       = 64 << 20  // bytes of the footer
	maxFooterMemory = 256 << 20 // bytes of its lists when they are decoded
	maxSchemaDepth  = 64        // groups within groups
	maxRows         = 1 << 28   // of a file; each takes 4 bytes of memory
	maxPageHeader   = 65 << 20  // bytes; some writers put the least and the greatest text into it
	maxPage         = 256 << 20 // bytes of a page, as it is in the file and decompressed
	maxPageValues   = 1 << 26   // nulls included; older writers' pages of one repeated value are that long
	maxFixed        = 16 << 20  // bytes of a value of fixed length
)

// File is a parquet file whose footer has been checked. The library sees the footer
// alone: it believes whatever number a file has, so that each page is checked and
// decompressed here before it gets it.
type File struct {
	*parquet.File
	in   io.ReaderAt
	size int64                // without the footer
	meta *format.FileMetaData // as it is in the file
	zstd *zstd.Decoder        // made at first use
}

// Read opens a file of size bytes for read, which may use it until it returns, from
// one goroutine. The parquet library panics on some damaged files; that, like any
// other damage, is an error of one line that says where it is. Errors of read's own
// come as they are.
func Read(f io.ReaderAt, size int64, read func(*File) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("is damaged: %v", p)
		}
	}()
	footer, err := readFooter(f, size)
	if err != nil {
		return err
	}
	file, err := openFooter(f, size, footer)
	if err != nil {
		return fmt.Errorf("is damaged: %w", err)
	}
	defer file.close()
	return read(file)
}

// readFooter refuses a file without its end before anything of it is believed.
func readFooter(f io.ReaderAt, size int64) ([]byte, error) {
	var tail [8]byte
	if size < 12 {
		return nil, errors.New("is truncated: shorter than a parquet file can be")
	}
	if _, err := f.ReadAt(tail[:], size-8); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if string(tail[4:]) != string(Magic) {
		return nil, errors.New("is truncated: a parquet file begins here but does not end")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if n > size-12 {
		return nil, fmt.Errorf("is damaged: a footer of %d bytes in a file of %d", n, size)
	}
	if n > maxFooter {
		return nil, fmt.Errorf("has a footer of %d bytes; at most %d are read: write it with larger row groups, or as several files", n, maxFooter)
	}
	footer := make([]byte, n)
	if _, err := f.ReadAt(footer, size-8-n); err != nil {
		return nil, err
	}
	return footer, nil
}

// openFooter checks what a footer says against itself and opens it. What it says of the
// pages is checked when they are read: damage to a column that nobody needs does no harm.
func openFooter(f io.ReaderAt, size int64, footer []byte) (*File, error) {
	if err := checkThrift(footer, maxFooterMemory); err != nil {
		return nil, fmt.Errorf("the footer of %d bytes at byte %d: %w: fetch the file again", len(footer), size-8-int64(len(footer)), err)
	}
	var meta, bare format.FileMetaData
	for _, m := range [...]*format.FileMetaData{&meta, &bare} {
		if err := thrift.NewDecoder(compact.NewReaderFromBytes(footer)).Decode(m); err != nil {
			return nil, fmt.Errorf("the footer: %w: fetch the file again", err)
		}
	}
	if err := checkMeta(&meta); err != nil {
		return nil, err
	}
	// The library is told of no compression and of no place in the file.
	bare.KeyValueMetadata = nil
	for g := range bare.RowGroups {
		for c := range bare.RowGroups[g].Columns {
			chunk := &bare.RowGroups[g].Columns[c]
			of := chunk.MetaData
			*chunk = format.ColumnChunk{MetaData: format.ColumnMetaData{
				Type: of.Type, Encoding: of.Encoding, PathInSchema: of.PathInSchema, NumValues: of.NumValues,
				Codec: format.Uncompressed, TotalCompressedSize: endless, TotalUncompressedSize: endless,
			}}
		}
	}
	plain, err := thrift.Marshal(&compact, &bare)
	if err != nil {
		return nil, fmt.Errorf("the footer: %w", err)
	}
	b := append(bytes.Clone(Magic), plain...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(plain)))
	b = append(b, Magic...)
	file, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	return &File{File: file, in: f, size: size - 8 - int64(len(footer)), meta: &meta}, nil
}

// checkMeta finds contradictions before the library goes by them.
func checkMeta(meta *format.FileMetaData) error {
	if meta.EncryptionAlgorithm.Value != nil {
		return errors.New("it is encrypted; write it without")
	}
	leaves, depth := 0, []int32{}
	for i, s := range meta.Schema {
		if s.Type.Valid {
			leaves++
		}
		if n := s.NumChildren.V; s.NumChildren.Valid && (n < 0 || int(n) > len(meta.Schema)-1-i) {
			return fmt.Errorf("the footer: %q has %d columns below it, and %d are left: fetch the file again", s.Name, n, len(meta.Schema)-1-i)
		}
		if n := s.NumChildren.V; s.NumChildren.Valid && n > 0 {
			if depth = append(depth, n); len(depth) > maxSchemaDepth {
				return fmt.Errorf("the footer: %q is more than %d groups deep: write it flatter", s.Name, maxSchemaDepth)
			}
			continue
		}
		for len(depth) > 0 {
			top := len(depth) - 1
			if depth[top]--; depth[top] > 0 {
				break
			}
			depth = depth[:top]
		}
	}
	rows := int64(0)
	for g, group := range meta.RowGroups {
		if len(group.Columns) != leaves {
			return fmt.Errorf("the footer: row group %d has %d columns, and the schema has %d: fetch the file again", g, len(group.Columns), leaves)
		}
		if group.NumRows < 0 || group.NumRows > maxRows {
			return fmt.Errorf("the footer: row group %d has %d rows; from 0 to %d are read: write fewer into a file", g, group.NumRows, maxRows)
		}
		if rows += group.NumRows; rows > maxRows {
			return fmt.Errorf("the footer: the file has more than %d rows: write several files", maxRows)
		}
	}
	if rows != meta.NumRows {
		return fmt.Errorf("the footer: the row groups have %d rows, and the file has %d: fetch it again", rows, meta.NumRows)
	}
	return nil
}

// Groups are the row groups that have rows. One without has no pages that it could
// point to, and some writers write such.
func (f *File) Groups(yield func(group int) bool) {
	for g, of := range f.meta.RowGroups {
		if of.NumRows > 0 && !yield(g) {
			return
		}
	}
}

func (f *File) close() {
	if f.zstd != nil {
		f.zstd.Close()
	}
}

// Magic is what a parquet file begins and ends with.
var Magic = []byte("PAR1")
