package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// plainDictionary is what older writers call both a dictionary and indexes into one.
//
//lint:ignore SA1019 files have it
const plainDictionary = format.PlainDictionary //nolint:staticcheck // the same

var errPageShort = errors.New("the page ends within its levels: fetch the file again")

// page decompresses p.packed, the page of h, checks it and puts it up for the library.
func (p *Pages) page(h *format.PageHeader) (err error) {
	out := format.PageHeader{Type: h.Type}
	switch h.Type {
	case format.DictionaryPage:
		d := h.DictionaryPageHeader.V
		if p.body, err = p.unpacked(p.packed, int(h.UncompressedPageSize), 0); err != nil {
			return err
		}
		if d.Encoding != format.Plain && d.Encoding != plainDictionary {
			return fmt.Errorf("a dictionary in %s: fetch the file again", d.Encoding)
		}
		n := int(d.NumValues)
		if err := p.checkValues(format.Plain, p.body, bounds{n, n}); err != nil {
			return err
		}
		if p.column.Type().Kind() == parquet.ByteArray && !hasTexts(p.body, n) {
			return fmt.Errorf("a dictionary of %d texts, and %d bytes that have others: fetch the file again", n, len(p.body))
		}
		p.dictionary = true
		out.DictionaryPageHeader = h.DictionaryPageHeader
	case format.DataPage:
		d := h.DataPageHeader.V
		if p.body, err = p.unpacked(p.packed, int(h.UncompressedPageSize), 0); err != nil {
			return err
		}
		values, n, err := p.checkV1(d, p.body)
		if err != nil {
			return err
		}
		if d.Encoding == format.RLE {
			d.Encoding, p.body = format.Plain, plainBooleans(p.body, values, n)
		}
		p.left -= int64(d.NumValues)
		d.Statistics = format.Statistics{}
		out.DataPageHeader = thrift.New(d)
	case format.DataPageV2:
		d := h.DataPageHeaderV2.V
		levels := int(d.RepetitionLevelsByteLength) + int(d.DefinitionLevelsByteLength)
		if d.IsCompressed.Valid && !d.IsCompressed.V {
			p.body = p.packed
		} else if p.body, err = p.unpacked(p.packed, int(h.UncompressedPageSize), levels); err != nil {
			return err
		}
		values, n, err := p.checkV2(d, p.body)
		if err != nil {
			return err
		}
		if d.Encoding == format.RLE {
			d.Encoding, p.body = format.Plain, plainBooleans(p.body, values, n)
		}
		p.left -= int64(d.NumValues)
		d.Statistics = format.Statistics{}
		out.DataPageHeaderV2 = thrift.New(d)
	}
	if h.Type != format.DictionaryPage && out.DataPageHeader.V.NumValues+out.DataPageHeaderV2.V.NumValues == 0 {
		p.body = nil // the library needs levels where there is nothing that has any
		return nil
	}
	out.CompressedPageSize, out.UncompressedPageSize = int32(len(p.body)), int32(len(p.body))
	p.head, err = thrift.Marshal(&compact, &out)
	return err
}

// unpacked is b decompressed to n bytes; the first levels of them are not compressed.
func (p *Pages) unpacked(b []byte, n, levels int) ([]byte, error) {
	if p.codec == format.Uncompressed {
		return b, nil
	}
	p.plain = resized(p.plain, n)
	copy(p.plain, b[:levels])
	return p.plain, p.file.decompress(p.codec, p.plain[levels:], b[levels:])
}

// checkV1 finds where the n values or fewer begin in b, and checks them and what is before.
func (p *Pages) checkV1(d format.DataPageHeader, b []byte) (at, n int, err error) {
	size := len(b)
	values := bounds{int(d.NumValues), int(d.NumValues)}
	for i, most := range [...]int{p.column.MaxRepetitionLevel(), p.column.MaxDefinitionLevel()} {
		if most == 0 {
			continue
		}
		if len(b) < 4 {
			return 0, 0, errPageShort
		}
		l := int64(binary.LittleEndian.Uint32(b))
		if b = b[4:]; l > int64(len(b)) {
			return 0, 0, errPageShort
		}
		of, err := checkLevels([...]format.Encoding{d.RepetitionLevelEncoding, d.DefinitionLevelEncoding}[i], b[:l], most, int(d.NumValues))
		if err != nil {
			return 0, 0, err
		}
		if b = b[l:]; i == 1 {
			values = of
		}
	}
	return size - len(b), values.most, p.checkValues(d.Encoding, b, values)
}

// checkV2 is checkV1 of a page that says where its levels end.
func (p *Pages) checkV2(d format.DataPageHeaderV2, b []byte) (at, n int, err error) {
	size := len(b)
	values := bounds{int(d.NumValues), int(d.NumValues)}
	for i, most := range [...]int{p.column.MaxRepetitionLevel(), p.column.MaxDefinitionLevel()} {
		l := int([...]int32{d.RepetitionLevelsByteLength, d.DefinitionLevelsByteLength}[i])
		if most > 0 {
			of, err := checkLevels(format.RLE, b[:l], most, int(d.NumValues))
			if err != nil {
				return 0, 0, err
			}
			if i == 1 {
				values = of
			}
		}
		b = b[l:]
	}
	if n := int(d.NumValues - d.NumNulls); n < values.least || n > values.most {
		return 0, 0, fmt.Errorf("num_nulls is %d of num_values %d, and the levels have from %d to %d values: fetch the file again",
			d.NumNulls, d.NumValues, values.least, values.most)
	}
	return size - len(b), values.most, p.checkValues(d.Encoding, b, values)
}

// bounds are between how many values of a page are not null: runs are counted, what is
// packed bit by bit is not looked into.
type bounds struct{ least, most int }

// checkLevels wants levels for n values, and not for many more.
func checkLevels(e format.Encoding, b []byte, most, n int) (bounds, error) {
	width := bits.Len(uint(most))
	if e == format.BitPacked {
		return bounds{0, n}, nil // takes no more room than its bytes
	}
	if e != format.RLE {
		return bounds{}, fmt.Errorf("levels in %s: fetch the file again", e)
	}
	r, err := countRuns(b, width, most, n)
	if err != nil {
		return bounds{}, err
	}
	if r.total < n {
		return bounds{}, fmt.Errorf("num_values is %d, and the page has levels of %d: fetch the file again", n, r.total)
	}
	return bounds{max(0, r.equal-(r.total-n)), min(r.equal+r.packed, n)}, nil
}

// checkValues wants values that can be in b, and that take no more room than a page may.
func (p *Pages) checkValues(e format.Encoding, b []byte, n bounds) error {
	kind, width := p.column.Type().Kind(), 0
	switch kind {
	case parquet.Boolean:
	case parquet.Int32, parquet.Float, parquet.ByteArray: // of text, its length
		width = 4
	case parquet.Int64, parquet.Double:
		width = 8
	case parquet.Int96:
		width = 12
	case parquet.FixedLenByteArray:
		if width = p.column.Type().Length(); width <= 0 || width > maxFixed {
			return fmt.Errorf("values of %d bytes; from 1 to %d are read: write it as text", width, maxFixed)
		}
	default:
		return errors.New("no such type of values: fetch the file again")
	}
	if indexes := e == plainDictionary || e == format.RLEDictionary; !indexes && n.most*width > maxPage {
		return fmt.Errorf("%d values of %d bytes in a page; at most %d bytes are read: write the file with smaller pages", n.most, width, maxPage)
	}
	switch e {
	case format.Plain, format.ByteStreamSplit:
		if least := int64(n.least) * int64(width); least > int64(len(b)) || kind == parquet.Boolean && (n.least+7)/8 > len(b) {
			return fmt.Errorf("%d values of %d bytes or more in %d bytes: fetch the file again", n.least, width, len(b))
		}
		return nil
	case plainDictionary, format.RLEDictionary:
		if !p.dictionary {
			return errors.New("it needs a dictionary, and none is before it: fetch the file again")
		}
		if len(b) == 0 || b[0] == 0 { // all null; or all the first
			return nil
		}
		if b[0] > 32 {
			return fmt.Errorf("indexes of %d bits: fetch the file again", b[0])
		}
		_, err := countRuns(b[1:], int(b[0]), -1, n.most)
		return err
	case format.RLE:
		if kind != parquet.Boolean || len(b) < 4 {
			return fmt.Errorf("%d values in RLE in %d bytes: fetch the file again", n.least, len(b))
		}
		r, err := countRuns(b[4:], 1, -1, n.most)
		if err == nil && r.total < n.least {
			err = fmt.Errorf("%d truth values, and %d are there: fetch the file again", n.least, r.total)
		}
		return err
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray:
		_, err := checkDelta(b, n.most)
		return err
	case format.DeltaByteArray:
		return checkDeltaBytes(b, n.most)
	}
	return fmt.Errorf("values in %s, which is not read: write the file with PLAIN or dictionary encoding", e)
}

// hasTexts tells whether b is n texts with their lengths before them.
func hasTexts(b []byte, n int) bool {
	for range n {
		if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
			return false
		}
		b = b[4+binary.LittleEndian.Uint32(b):]
	}
	return len(b) == 0
}
