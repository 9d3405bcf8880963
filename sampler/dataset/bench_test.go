package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/justrl/justrl/internal/parquetfile"
)

// BenchmarkDAPOSize opens a file of the published DAPO-Math-17k's size
// (1.79 million rows, 17 thousand problems) and draws shuffled rows from it.
func BenchmarkDAPOSize(b *testing.B) {
	const rows, problems = 1_791_700, 17_398
	path := filepath.Join(b.TempDir(), "rows.parquet")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := parquet.NewGenericWriter[verlRow](f, parquet.Compression(&parquet.Snappy), parquet.PageBufferSize(1<<20))
	rng := rand.New(rand.NewPCG(1, 2))
	made := make([]verlRow, problems)
	for i := range made {
		made[i] = verl(fmt.Sprintf("%08x-%04x-%016x", i, i, rng.Uint64()), words(rng, 40+rng.IntN(80)), fmt.Sprint(rng.IntN(1000)))
	}
	for i := range rows {
		if _, err := w.Write(made[i%problems : i%problems+1]); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	made = nil
	b.Run("open", func(b *testing.B) {
		for range b.N {
			src, err := Open(b.Context(), path)
			if err != nil {
				b.Fatal(err)
			}
			var mem runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&mem)
			b.ReportMetric(float64(mem.HeapInuse)/(1<<20), "MiB-heap")
			if err := src.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("row", func(b *testing.B) {
		s := mustStream(b, mustOpen(b, path), Options{Seed: 1, Shuffle: true, Prompt: letters}, Cursor{})
		b.ResetTimer()
		for range b.N {
			if _, err := s.Next(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPages reads every value of a file of DAPO's shape: by the library alone, and by
// pages that are checked first. The second over the first is what the check costs.
func BenchmarkPages(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	rows := make([]verlRow, 20_000)
	for i := range rows {
		rows[i] = verl(fmt.Sprintf("%08x", i), words(rng, 40+rng.IntN(80)), fmt.Sprint(rng.IntN(1000)))
	}
	raw, err := os.ReadFile(writeParquet(b, len(rows), rows...))
	if err != nil {
		b.Fatal(err)
	}
	in := bytes.NewReader(raw)
	leaves := []int{0, 1, 2, 3, 4, 5}
	buf := make([]parquet.Value, 128)
	read := func(b *testing.B, pages interface {
		ReadPage() (parquet.Page, error)
		Close() error
	}) {
		for {
			page, err := pages.ReadPage()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			for values := page.Values(); ; {
				if _, err := values.ReadValues(buf); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
			parquet.Release(page)
		}
		if err := pages.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("library", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		for range b.N {
			file, err := parquet.OpenFile(in, in.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
			if err != nil {
				b.Fatal(err)
			}
			for _, group := range file.RowGroups() {
				for _, leaf := range leaves {
					read(b, group.ColumnChunks()[leaf].Pages())
				}
			}
		}
	})
	b.Run("checked", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		for range b.N {
			if err := parquetfile.Read(in, in.Size(), func(file *parquetfile.File) error {
				for group := range file.RowGroups() {
					for _, leaf := range leaves {
						p, err := file.Pages(group, leaf)
						if err != nil {
							return err
						}
						read(b, p)
					}
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func words(rng *rand.Rand, n int) string {
	var s strings.Builder
	for range n {
		fmt.Fprintf(&s, "%x ", rng.Uint32()>>rng.IntN(20))
	}
	return s.String()
}
