package parquetfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// maxRatio is how many bytes a codec can make of one, at the most; 0 is no limit.
func maxRatio(c format.CompressionCodec) int64 {
	switch c {
	case format.Uncompressed:
		return 1
	case format.Snappy: // a copy of 64 bytes takes 3
		return 22
	case format.Gzip: // a copy of 258 bytes takes 2 bits
		return 1032
	case format.Lz4Raw: // a byte of length adds 255
		return 256
	case format.Zstd: // a block of 128 kB takes 4 bytes
		return 32 << 10
	}
	return 0
}

// decompress fills dst, whose length is what the file says; whatever src says, no more
// room is made than that.
func (f *File) decompress(c format.CompressionCodec, dst, src []byte) error {
	if len(dst) == 0 {
		return nil
	}
	n, err := 0, error(nil)
	switch c {
	case format.Snappy:
		if n, err = snappy.DecodedLen(src); err == nil && n == len(dst) {
			_, err = snappy.Decode(dst, src)
		}
	case format.Gzip:
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(src)); err == nil {
			n, err = readAll(r, dst)
		}
	case format.Brotli:
		n, err = readAll(brotli.NewReader(bytes.NewReader(src)), dst)
	case format.Lz4Raw:
		n, err = lz4.UncompressBlock(src, dst)
	case format.Zstd:
		n, err = f.unzstd(dst, src)
	default:
		return fmt.Errorf("%s is not read: write the file with snappy, zstd, gzip or no compression", c)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: fetch the file again", c, err)
	}
	if n != len(dst) {
		return fmt.Errorf("uncompressed_page_size is %d bytes, and %s has %d: fetch the file again", len(dst), c, n)
	}
	return nil
}

func (f *File) unzstd(dst, src []byte) (int, error) {
	if f.zstd == nil {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(maxPage))
		if err != nil {
			return 0, err
		}
		f.zstd = d
	}
	out, err := f.zstd.DecodeAll(src, dst[:0:len(dst)])
	return len(out), err
}

// readAll reads what should be the whole of dst, and sees if there is more.
func readAll(r io.Reader, dst []byte) (int, error) {
	n, err := io.ReadFull(r, dst)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			err = nil // the caller compares
		}
		return n, err
	}
	m, err := io.ReadFull(r, make([]byte, 1))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n + m, err
}
