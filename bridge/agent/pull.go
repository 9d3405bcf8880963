package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/share"
	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/endpoint"
)

const (
	connections = 4 // at once
	spanChunks  = 8 // of one request
	// bases is how many earlier snapshots chunks are taken from.
	bases = 2
)

// puller brings snapshots from the trainer into a folder.
type puller struct {
	trainer *endpoint.Endpoint
	folder  *folder
	stall   time.Duration
	retry   endpoint.Retry
}

// counts are a pull's, while it is under way.
type counts struct{ bytes, fetched, reused, resumed atomic.Int64 }

func (c *counts) pulled() Pulled {
	return Pulled{Bytes: c.bytes.Load(), Fetched: c.fetched.Load(), Reused: c.reused.Load(), Resumed: c.resumed.Load()}
}

// pull makes the snapshot of r complete in the folder. What has come of it when
// an error ends it stays for the next pull, unless the disk is full: then
// nothing of it stays.
func (p *puller) pull(ctx context.Context, r Request, c *counts) (bridge.Snapshot, error) {
	if err := p.folder.prepare(r.Run, r.Version); err != nil {
		return bridge.Snapshot{}, err
	}
	dir := filepath.Join(p.folder.dir, place(r.Run, r.Version))
	if s, err := bridge.Open(dir); err == nil {
		if s.SHA256 == r.SHA256 && atomicdir.Verify(dir) == nil {
			return s, nil
		}
		if err := p.folder.remove(place(r.Run, r.Version)); err != nil {
			return bridge.Snapshot{}, err
		}
	}
	m, raw, err := p.manifest(ctx, r)
	if err == nil {
		c.bytes.Store(m.Size())
		err = p.files(ctx, m, raw, c)
	}
	if err == nil {
		dir, err = p.folder.publish(m, raw)
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = errors.Join(fmt.Errorf("%s: %w", p.folder.dir, atomicdir.FullDisk(err)), p.folder.dropPull())
	}
	if err != nil {
		return bridge.Snapshot{}, err
	}
	return bridge.Open(dir)
}

// manifest asks for the snapshot's, and holds it to what the request says.
func (p *puller) manifest(ctx context.Context, r Request) (*share.Manifest, []byte, error) {
	var raw []byte
	err := p.retry.Do(ctx, func(ctx context.Context) error {
		return p.trainer.Do(ctx, http.MethodGet, manifestPath(r.Version), nil, &raw)
	})
	if err != nil {
		return nil, nil, err
	}
	m, err := share.ParseManifest(raw)
	if err == nil && (m.Run != r.Run || m.Version != r.Version) {
		err = fmt.Errorf("it is run %s's version %d, asked was for run %s's version %d: does the agent's --trainer name the trainer that asks?", m.Run, m.Version, r.Run, r.Version)
	}
	if err != nil {
		return nil, nil, &endpoint.ReplyError{Method: http.MethodGet, URL: p.trainer.URL() + manifestPath(r.Version), Err: err}
	}
	return m, raw, nil
}

// files has all files of m be whole in the pull's folder.
func (p *puller) files(ctx context.Context, m *share.Manifest, raw []byte, c *counts) (err error) {
	resumed, err := p.folder.begin(raw)
	if err != nil {
		return err
	}
	old, err := p.folder.earlier(bases)
	if err != nil {
		return err
	}
	defer old.close()
	if !resumed {
		if err := p.folder.room(m.Size()); err != nil {
			return err
		}
	}
	var parts []*os.File
	defer func() {
		for _, f := range parts {
			err = errors.Join(err, f.Close())
		}
	}()
	var missing []span
	buf := make([]byte, m.ChunkSize)
	for i := range m.Files {
		file := &m.Files[i]
		part, err := p.folder.openPart(file.Name, file.Size)
		if err != nil {
			return err
		}
		parts = append(parts, part)
		write := func(b []byte, offset int64) error {
			_, err := part.WriteAt(b, offset)
			return err
		}
		for n, sum := range file.Chunks {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			offset, size := m.Chunk(file, n)
			b := buf[:size]
			switch {
			case resumed && has(part, offset, b, sum):
				c.resumed.Add(size)
			case old.read(sum, b):
				if err := write(b, offset); err != nil {
					return err
				}
				c.reused.Add(size)
			default:
				if k := len(missing) - 1; k >= 0 && missing[k].file == file && missing[k].last == n-1 && n-missing[k].first < spanChunks {
					missing[k].last = n
				} else {
					missing = append(missing, span{file, n, n, write})
				}
			}
		}
	}
	f := &fetcher{trainer: p.trainer, m: m, stall: p.stall, retry: p.retry, fetched: &c.fetched}
	pool, ctx := errgroup.WithContext(ctx)
	pool.SetLimit(connections)
	for _, s := range missing {
		pool.Go(func() error { return f.bring(ctx, s) })
	}
	return pool.Wait()
}

// has tells whether a part already holds a chunk.
func has(part *os.File, offset int64, b []byte, sum share.Sum) bool {
	_, err := io.ReadFull(io.NewSectionReader(part, offset, int64(len(b))), b)
	return err == nil && sha256.Sum256(b) == sum
}
