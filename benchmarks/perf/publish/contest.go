package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/sha256pair"
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

// newContest makes weights of a small model's shapes: an embedding of a quarter,
// and matrices, in the order of their names as the reference implementation
// writes them, or against it if backwards.
func newContest(dir string, mb int, seed uint64, backwards bool) (*contest, error) {
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
	slices.SortFunc(infos, func(a, b safetensors.Info) int { return strings.Compare(a.Name, b.Name) })
	if backwards {
		slices.Reverse(infos)
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

// round has everyone take a turn, the copy and the snapshot next to each other
// and the one first that was second before, and removes what they wrote.
func (c *contest) round(ctx context.Context, i int) (r round, err error) {
	copied, plain := filepath.Join(c.dir, "copy"), filepath.Join(c.dir, "plain")
	turns := []func() error{
		func() (err error) {
			if err := os.Mkdir(plain, 0o777); err != nil {
				return err
			}
			r.Unhashed, err = timed(func() error { return safetensors.Write(plain, c.layout, c.bytes) })
			return errors.Join(err, os.RemoveAll(plain))
		},
		func() (err error) {
			r.Copy, err = timed(func() error { return copySynced(c.source, copied) })
			return errors.Join(err, os.Remove(copied))
		},
		func() (err error) {
			var s bridge.Snapshot
			r.Snapshot, err = timed(func() (err error) {
				s, err = c.publish.Publish(ctx, int64(i), i)
				return err
			})
			if err != nil {
				return err
			}
			return atomicdir.Remove(s.Dir)
		},
		func() (err error) {
			r.Sums, err = timed(c.sums)
			return err
		},
	}
	if i%2 == 1 {
		slices.Reverse(turns)
	}
	for _, turn := range turns {
		if err := turn(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// sums is what a snapshot's two SHA-256 cost one core, with nothing written.
func (c *contest) sums() error {
	a, b := sha256.New(), sha256.New()
	for _, t := range c.layout.Files[0].Tensors {
		for left := c.weights[t.Name]; len(left) > 0; {
			n := min(len(left), 1<<20)
			if err := sha256pair.Write(a, b, left[:n]); err != nil {
				return err
			}
			left = left[n:]
		}
	}
	return nil
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
