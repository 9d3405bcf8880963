package dataset

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/parquet-go/parquet-go/format"
)

// TestMutatedParquet changes what headers and footers say, and bytes of pages, in files that
// are whole otherwise: a fuzzer rarely gets past the checks of one number to the next.
func TestMutatedParquet(t *testing.T) {
	const rounds = 100 // a file
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	files, err := filepath.Glob("testdata/parquet/*.parquet")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	read, refused := 0, 0
	for seed, path := range files {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(uint64(seed), mutationSeed))
		for range rounds {
			b := mutated(t, rng, whole)
			fuzzReader(t, readParquet, b)
			if err := parquetScalars(bytes.NewReader(b), int64(len(b)), func(map[string]string) error { return nil }); err != nil {
				refused++
			} else {
				read++
			}
		}
	}
	if read == 0 || refused == 0 {
		t.Errorf("%d files were read and %d refused: the changes test nothing", read, refused)
	}
}

const mutationSeed = 1

// mutated changes a few things of a file.
func mutated(t *testing.T, rng *rand.Rand, b []byte) []byte {
	number := func(n int64) int64 {
		odd := [...]int64{-1, 0, 1, 2, 7, 8, 255, 1 << 16, 1<<24 + 3, 1<<31 - 1, n + 1, n - 1, n * 2, n / 2}
		return odd[rng.IntN(len(odd))]
	}
	small := func(n *int32) { *n = int32(number(int64(*n))) }
	return rewritten(t, b, func(_ string, h *format.PageHeader, body []byte) []byte {
		body = bytes.Clone(body)
		if rng.IntN(8) > 0 {
			return body
		}
		v1, v2, dict := &h.DataPageHeader.V, &h.DataPageHeaderV2.V, &h.DictionaryPageHeader.V
		switch encoding := format.Encoding(rng.IntN(10)); rng.IntN(10) {
		case 0:
			small(&h.UncompressedPageSize)
		case 1:
			small(&h.CompressedPageSize)
		case 2:
			small(&v1.NumValues)
			small(&v2.NumValues)
			small(&dict.NumValues)
		case 3:
			small(&v2.NumNulls)
			small(&v2.NumRows)
		case 4:
			small(&v2.DefinitionLevelsByteLength)
		case 5:
			small(&v2.RepetitionLevelsByteLength)
		case 6:
			v1.Encoding, v2.Encoding = encoding, encoding
		case 7:
			v1.DefinitionLevelEncoding, dict.Encoding = encoding, encoding
		default:
			for range 1 + rng.IntN(3) {
				if len(body) > 0 {
					body[rng.IntN(len(body))] = byte(rng.Uint32())
				}
			}
		}
		return body
	}, func(m *format.FileMetaData) {
		if rng.IntN(4) > 0 {
			return
		}
		group := &m.RowGroups[rng.IntN(len(m.RowGroups))]
		column := &group.Columns[rng.IntN(len(group.Columns))].MetaData
		element := &m.Schema[rng.IntN(len(m.Schema))]
		switch rng.IntN(9) {
		case 0:
			n := number(group.NumRows)
			m.NumRows += n - group.NumRows
			group.NumRows = n
		case 1:
			column.NumValues = number(column.NumValues)
		case 2:
			column.TotalCompressedSize = number(column.TotalCompressedSize)
		case 3:
			column.DataPageOffset = number(column.DataPageOffset)
		case 4:
			column.DictionaryPageOffset = number(column.DictionaryPageOffset)
		case 5:
			column.Codec = format.CompressionCodec(rng.IntN(9))
		case 6:
			small(&element.NumChildren.V)
		case 7:
			element.Type.V, element.TypeLength.V, element.TypeLength.Valid = format.Type(rng.IntN(9)), int32(number(4)), true
		case 8:
			element.RepetitionType.V = format.FieldRepetitionType(rng.IntN(4))
		}
	})
}
