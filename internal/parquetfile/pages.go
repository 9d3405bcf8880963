package parquetfile

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// endless is the length of a column chunk that pages makes up as it is read.
const endless = math.MaxInt64 / 2

// Pages reads a column chunk front to back. As an [io.ReaderAt] it is what the library
// reads: one page after the other, each checked, decompressed, and with a header that says so.
type Pages struct {
	file    *File
	column  *parquet.Column
	codec   format.CompressionCodec
	group   int
	at, end int64 // of the next page in the file, and of the chunk
	from    int64 // of the page that the library has
	left    int64 // values that are to come
	values  int64 // of the chunk

	dictionary bool // has been read
	head, body []byte
	packed     []byte // reused
	plain      []byte // reused
	err        error

	decoded *parquet.FilePages
}

// Pages opens the column chunk of a leaf column in a row group, both counted from 0.
// The caller closes it.
func (f *File) Pages(group, leaf int) (*Pages, error) {
	chunk, ok := f.RowGroups()[group].ColumnChunks()[leaf].(*parquet.FileColumnChunk)
	if !ok {
		return nil, errors.New("the parquet library has changed")
	}
	column, ok := chunk.Node().(*parquet.Column)
	if !ok {
		return nil, errors.New("the parquet library has changed")
	}
	of := f.meta.RowGroups[group].Columns[leaf]
	m := of.MetaData
	p := &Pages{file: f, column: column, codec: m.Codec, group: group, at: m.DataPageOffset, values: m.NumValues, left: m.NumValues}
	if d := m.DictionaryPageOffset; d > 0 && d < p.at {
		p.at = d
	}
	fail := func(format string, args ...any) (*Pages, error) {
		return nil, fmt.Errorf("row group %d: %w", group, fmt.Errorf(format, args...))
	}
	rows := f.meta.RowGroups[group].NumRows
	switch size := f.size; {
	case of.FilePath != "":
		return fail("its pages are in another file (%q); write one file", of.FilePath)
	case len(of.EncryptedColumnMetadata) > 0 || of.CryptoMetadata.Value != nil:
		return fail("it is encrypted; write it without")
	case p.at < int64(len(Magic)) || m.TotalCompressedSize < 0 || p.at > size || m.TotalCompressedSize > size-p.at:
		return fail("its pages are %d bytes at byte %d, and the file has %d up to its footer: fetch it again", m.TotalCompressedSize, p.at, size)
	case m.NumValues < rows || column.MaxRepetitionLevel() == 0 && m.NumValues != rows:
		return fail("it has %d values for %d rows: fetch the file again", m.NumValues, rows)
	}
	p.end = p.at + m.TotalCompressedSize
	p.decoded = chunk.PagesFrom(p)
	return p, nil
}

// ReadPage gives the next page; io.EOF after the last. It is the caller's to release.
func (p *Pages) ReadPage() (page parquet.Page, err error) {
	defer func() {
		if v := recover(); v != nil {
			page, err = nil, p.fail(p.from, "%v: fetch the file again", v)
		}
	}()
	page, err = p.decoded.ReadPage()
	switch {
	case err == nil:
		return page, nil
	case p.err != nil:
		return nil, p.err
	}
	return nil, p.fail(p.from, "%w: fetch the file again", err)
}

// Read fills buf with values of the page that was read last.
func (p *Pages) Read(values parquet.ValueReader, buf []parquet.Value) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			n, err = 0, p.fail(p.from, "%v: fetch the file again", v)
		}
	}()
	return values.ReadValues(buf)
}

// Close ends the reading.
func (p *Pages) Close() error { return p.decoded.Close() }

// ReadAt implements io.ReaderAt for a reader that begins at the start and never goes
// back. It gives less than it is asked for: never bytes of two pages at once.
func (p *Pages) ReadAt(b []byte, _ int64) (int, error) {
	for len(p.head) == 0 && len(p.body) == 0 {
		if p.err == nil {
			p.err = p.next()
		}
		if p.err != nil {
			return 0, p.err
		}
	}
	n := copy(b, p.head)
	p.head = p.head[n:]
	m := copy(b[n:], p.body)
	p.body = p.body[m:]
	return n + m, nil
}

func (p *Pages) fail(at int64, format string, args ...any) error {
	return fmt.Errorf("row group %d, page at byte %d: %w", p.group, at, fmt.Errorf(format, args...))
}

// next puts the next page that the library needs into head and body.
func (p *Pages) next() error {
	if p.left == 0 {
		return io.EOF
	}
	at := p.at
	p.from = at
	if at >= p.end {
		return p.fail(at, "the pages of %d values end after %d: fetch the file again", p.values, p.values-p.left)
	}
	h, n, err := p.header()
	if err != nil {
		return p.fail(at, "%w", err)
	}
	if err := p.sizes(h, n); err != nil {
		return p.fail(at, "%w", err)
	}
	p.at += n + int64(h.CompressedPageSize)
	switch h.Type {
	case format.DataPage, format.DataPageV2, format.DictionaryPage:
	default: // an index: it may be skipped
		return nil
	}
	p.packed = resized(p.packed, int(h.CompressedPageSize))
	if _, err := p.file.in.ReadAt(p.packed, at+n); err != nil && !errors.Is(err, io.EOF) {
		return p.fail(at, "%w", err)
	}
	if sum := crc32.ChecksumIEEE; h.CRC != 0 && sum(p.packed) != uint32(h.CRC) {
		return p.fail(at, "its checksum is %08x, and its bytes have %08x: fetch the file again", uint32(h.CRC), sum(p.packed))
	}
	if err := p.page(h); err != nil {
		return p.fail(at, "%w", err)
	}
	return nil
}

// header reads the header at p.at, which is n bytes long.
func (p *Pages) header() (h *format.PageHeader, n int64, err error) {
	room := p.end - p.at
	for window := int64(512); ; window *= 8 {
		window = min(window, room, maxPageHeader)
		p.packed = resized(p.packed, int(window))
		if _, err := p.file.in.ReadAt(p.packed, p.at); err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
		err := checkThrift(p.packed, 1<<20)
		if err == nil {
			break
		}
		short := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errListTooLong)
		switch {
		case !short:
			return nil, 0, fmt.Errorf("the header is no page's (%w): fetch the file again", err)
		case window == room:
			return nil, 0, fmt.Errorf("the header goes beyond the column's last byte, %d: fetch the file again", p.end)
		case window == maxPageHeader:
			return nil, 0, fmt.Errorf("the header has more than %d bytes: write the file without statistics in its pages", maxPageHeader)
		}
	}
	h = new(format.PageHeader)
	r := compact.NewReaderFromBytes(p.packed)
	if err := thrift.NewDecoder(r).Decode(h); err != nil {
		return nil, 0, fmt.Errorf("the header is no page's (%w): fetch the file again", err)
	}
	return h, int64(r.BytesRead()), nil
}

// sizes checks what a header of n bytes says before any room is made by it.
func (p *Pages) sizes(h *format.PageHeader, n int64) error {
	packed, plain := int64(h.CompressedPageSize), int64(h.UncompressedPageSize)
	left := p.end - p.at - n
	switch ratio := maxRatio(p.codec); {
	case packed < 0 || packed > left:
		return fmt.Errorf("compressed_page_size is %d bytes, and the column has %d left: fetch the file again", packed, left)
	case plain < 0 || plain > maxPage || packed > maxPage:
		return fmt.Errorf("a page of %d bytes, %d in the file; at most %d are read: write the file with smaller pages", plain, packed, maxPage)
	case ratio > 0 && plain > packed*ratio+64:
		return fmt.Errorf("uncompressed_page_size is %d bytes of %d, and %s makes at most %d of one: fetch the file again", plain, packed, p.codec, ratio)
	}
	values := int32(0)
	switch h.Type {
	case format.DictionaryPage:
		values = h.DictionaryPageHeader.V.NumValues
		if !h.DictionaryPageHeader.Valid {
			return errors.New("a dictionary without its header: fetch the file again")
		}
		if p.dictionary {
			return errors.New("a second dictionary: fetch the file again")
		}
	case format.DataPage:
		values = h.DataPageHeader.V.NumValues
		if !h.DataPageHeader.Valid {
			return errors.New("a data page without its header: fetch the file again")
		}
	case format.DataPageV2:
		v := h.DataPageHeaderV2.V
		values = v.NumValues
		if !h.DataPageHeaderV2.Valid {
			return errors.New("a data page without its header: fetch the file again")
		}
		rep, def := int64(v.RepetitionLevelsByteLength), int64(v.DefinitionLevelsByteLength)
		if rep < 0 || def < 0 || rep+def > min(packed, plain) {
			return fmt.Errorf("levels of %d and %d bytes in a page of %d: fetch the file again", rep, def, min(packed, plain))
		}
		if v.NumNulls < 0 || v.NumNulls > v.NumValues {
			return fmt.Errorf("num_nulls is %d, and num_values %d: fetch the file again", v.NumNulls, v.NumValues)
		}
	}
	if values < 0 || values > maxPageValues {
		return fmt.Errorf("num_values is %d; from 0 to %d are read: write the file with smaller pages", values, maxPageValues)
	}
	if h.Type != format.DictionaryPage && int64(values) > p.left {
		return fmt.Errorf("num_values is %d, and the column has %d left: fetch the file again", values, p.left)
	}
	return nil
}

// resized is b, or a new slice, of n bytes.
func resized(b []byte, n int) []byte {
	return slices.Grow(b[:0], n)[:n]
}
