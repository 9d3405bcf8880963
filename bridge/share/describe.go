package share

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/atomicdir"
)

// ChunkSize is the bytes of a chunk: small beside a model, large beside a request.
const ChunkSize = 4 << 20

// describe reads the whole of a snapshot for its chunks' hashes; a file's own is
// the marker's, which publishing has just computed.
func describe(ctx context.Context, run string, s bridge.Snapshot, chunk int64) (_ *Manifest, err error) {
	marker, err := atomicdir.Read(s.Dir)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Run: run, Version: marker.Version, Step: marker.Step, Extra: marker.Extra, ChunkSize: chunk}
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	asked := ctx
	pool, ctx := errgroup.WithContext(asked)
	pool.SetLimit(runtime.GOMAXPROCS(0))
	buffers := sync.Pool{New: func() any { b := make([]byte, chunk); return &b }}
	var open []*os.File
	defer func() {
		for _, f := range open {
			err = errors.Join(err, f.Close())
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(marker.Files)) {
		f, size, err := openFile(root, name)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", s.Dir, err), pool.Wait())
		}
		open = append(open, f)
		file := File{Name: name, Size: size, Chunks: make([]Sum, (size+chunk-1)/chunk)}
		if err := file.SHA256.UnmarshalText([]byte(marker.Files[name])); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", filepath.Join(s.Dir, atomicdir.MarkerName), err), pool.Wait())
		}
		for i := range file.Chunks {
			if ctx.Err() != nil {
				break
			}
			offset, n := m.Chunk(&file, i)
			pool.Go(func() error {
				b := buffers.Get().(*[]byte)
				defer buffers.Put(b)
				if _, err := io.ReadFull(io.NewSectionReader(f, offset, n), (*b)[:n]); err != nil {
					return fmt.Errorf("%s: %w", filepath.Join(s.Dir, name), err)
				}
				file.Chunks[i] = sha256.Sum256((*b)[:n])
				return context.Cause(ctx)
			})
		}
		m.Files = append(m.Files, file)
	}
	if err := pool.Wait(); err != nil {
		return nil, err
	}
	if err := context.Cause(asked); err != nil { // chunks may have been left out, and no goroutine there to say so
		return nil, err
	}
	return m, m.check()
}

// openFile opens a regular file; no link is followed, wherever it leads.
func openFile(root *os.Root, name string) (_ *os.File, size int64, err error) {
	name = filepath.FromSlash(name)
	before, err := root.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if !before.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s: not a regular file", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	after, err := f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("%s: it was replaced while it was opened", name)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, after.Size(), nil
}
