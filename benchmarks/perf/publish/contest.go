package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/updater/safetensors"
)

// contest is weights in memory, and the two who write them.
type contest struct {
	dir     string
	layout  safetensors.Layout
	weights map[string][]byte
	source  string // what is copied
	publish bridge.Snapshots
}

// newContest makes weights of a small model's shapes: an embedding of a quarter, and matrices.
func newContest(dir string, mb int, seed uint64) (*contest, error) {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	random := rand.NewChaCha8(key)
	c := &contest{dir: dir, weights: map[string][]byte{}}
	var infos []safetensors.Info
	var want []bridge.Tensor
	add := func(name string, rows int64) error {
		info := safetensors.Info{Name: name, DType: "F32", Shape: []int64{rows, 1024}}
		b := make([]byte, rows*4096)
		if _, err := random.Read(b); err != nil {
			return err
		}
		c.weights[name], infos = b, append(infos, info)
		want = append(want, bridge.Tensor{Name: name, DType: info.DType, Shape: info.Shape})
		return nil
	}
	rows := int64(mb) * 1_000_000 / 4096
	err := add("model.embed_tokens.weight", rows/4)
	for left, i := rows-rows/4, 0; left > 0 && err == nil; i++ {
		n := min(left, 1024)
		err, left = add(fmt.Sprintf("model.layers.%d.weight", i), n), left-n
	}
	if err != nil {
		return nil, err
	}
	c.layout = safetensors.Layout{Files: []safetensors.FileLayout{{Name: safetensors.SingleName, Tensors: infos}}}
	c.publish = bridge.Snapshots{Root: filepath.Join(dir, "snapshots"), Exporter: c, Inspector: inspector{}, Want: want}
	from := filepath.Join(dir, "source")
	if err := os.Mkdir(from, 0o777); err != nil {
		return nil, err
	}
	c.source = filepath.Join(from, safetensors.SingleName)
	return c, safetensors.Write(from, c.layout, c.bytes)
}

func (c *contest) bytes(name string) ([]byte, error) { return c.weights[name], nil }

// Export implements bridge.Exporter.
func (c *contest) Export(ctx context.Context, dir string) error {
	_, _, err := c.ExportHashed(ctx, dir)
	return err
}

// ExportHashed implements bridge.HashingExporter as updater/torch does.
func (c *contest) ExportHashed(_ context.Context, dir string) (files map[string]string, weights string, err error) {
	sums, err := safetensors.WriteHashed(dir, c.layout, c.bytes)
	return sums.Files, sums.Weights, err
}

// pair has both write, the one first that was second before, and removes what they wrote.
func (c *contest) pair(ctx context.Context, i int) (p pair, err error) {
	turns := []func() error{
		func() (err error) {
			to := filepath.Join(c.dir, "copy")
			p.Copy, p.CopyCPU, err = timed(func() error { return copySynced(c.source, to) })
			return errors.Join(err, os.Remove(to))
		},
		func() (err error) {
			var s bridge.Snapshot
			p.Snapshot, p.SnapshotCPU, err = timed(func() (err error) {
				s, err = c.publish.Publish(ctx, int64(i), i)
				return err
			})
			if err != nil {
				return err
			}
			return atomicdir.Remove(s.Dir)
		},
	}
	for j := range turns {
		if err := turns[(i+j)%2](); err != nil {
			return p, err
		}
	}
	return p, nil
}

// copySynced is a plain copy that a crash cannot undo.
func copySynced(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// inspector reads folders for bridge.Snapshots, as the command line's does.
type inspector struct{}

func (inspector) Tensors(dir string) (tensors []bridge.Tensor, err error) {
	set, err := safetensors.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	for _, name := range set.Names() {
		info, _ := set.Info(name)
		tensors = append(tensors, bridge.Tensor{Name: name, DType: info.DType, Shape: info.Shape})
	}
	return tensors, nil
}

func (inspector) SHA256(dir string) (sum string, err error) {
	set, err := safetensors.Open(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	return set.SHA256()
}
