//go:build torch

package torch

// #cgo CXXFLAGS: -O3 -fopenmp
// #cgo LDFLAGS: -lgomp
// #include <stdlib.h>
// #include "decode.h"
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/updater/engine"
	"github.com/justrl/justrl/updater/model"
	"github.com/justrl/justrl/updater/safetensors"
)

var _ engine.Model = (*Decoder)(nil)

// DecoderOptions say how a Decoder computes.
type DecoderOptions struct {
	Dir     string // a model folder in the Hugging Face layout
	MaxLen  int    // tokens of a sequence; 0 is what the model allows
	MaxRows int    // tokens of a pass at most
	// CacheBytes is the memory for keys and values.
	CacheBytes int64
	Threads    int // CPU threads; 0 = all
	// Batched leaves the matrix products to libtorch, over the whole batch at
	// once: what a sequence gets then depends, in the last bits, on what else
	// is in the batch. It is there to measure what the other way costs.
	Batched bool
}

// Decoder is an engine.Model on the CPU, in float32 whatever the folder's
// dtype is. Unlike the trainer it computes each row by operations whose order
// does not depend on the other rows (decode.h). Its Close frees everything.
type Decoder struct {
	o       DecoderOptions
	worker  *worker
	counter *counter
	spec    model.Spec
	weights *decoderWeights

	cos, sin []float32 // [MaxLen, D/2]
	memory   [][]byte  // what lies outside Go's heap
	keys     [][]float32
	values   [][]float32
	blocks   int

	x, y, wide, gated []float32 // scratch: [rows,E], [rows,E or H·D], [rows,(H+2K)D or 2F], [rows,F]
	logits            []float32
	draws             []C.jr_draw
}

// OpenDecoder loads a model folder for generation.
func OpenDecoder(o DecoderOptions) (*Decoder, error) {
	if msg := message(C.jr_decode_supported()); msg != "" {
		return nil, fmt.Errorf("torch: the embedded engine cannot run here: %s", msg)
	}
	d := &Decoder{o: o, worker: startWorker(), counter: &counter{}}
	if err := d.worker.do(d.open); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Decoder) open() error {
	spec, set, err := model.Open(d.o.Dir)
	if err != nil {
		return err
	}
	if err := set.Close(); err != nil {
		return err
	}
	d.spec = spec
	switch {
	case d.o.MaxLen < 0 || d.o.MaxLen > spec.MaxPositions:
		return fmt.Errorf("%s: a context of %d tokens: max_position_embeddings is %d", d.o.Dir, d.o.MaxLen, spec.MaxPositions)
	case d.o.MaxLen == 0:
		d.o.MaxLen = spec.MaxPositions
	}
	threads := d.o.Threads
	if threads <= 0 {
		threads = runtime.NumCPU()
	}
	if err := setThreads(threads); err != nil {
		return err
	}
	noGrad()
	if err := d.allocate(); err != nil {
		return err
	}
	if err := d.rope(); err != nil {
		return err
	}
	return d.load(d.o.Dir)
}

// allocate makes the cache and the scratch.
func (d *Decoder) allocate() error {
	s := d.spec
	perBlock := int64(s.Layers) * 2 * 4 * int64(s.KVHeads*s.HeadDim*engine.BlockTokens)
	d.blocks = int(d.o.CacheBytes / perBlock)
	if need := (d.o.MaxLen+engine.BlockTokens-1)/engine.BlockTokens + 1; d.blocks < need {
		return fmt.Errorf("%s: %d MiB of cache hold %d tokens, a context of %d needs %d MiB: give it more, or a shorter context",
			d.o.Dir, d.o.CacheBytes>>20, d.blocks*engine.BlockTokens, d.o.MaxLen, (int64(need)*perBlock+1<<20-1)>>20)
	}
	half := d.blocks * s.KVHeads * s.HeadDim * engine.BlockTokens
	for range s.Layers {
		for _, into := range []*[][]float32{&d.keys, &d.values} {
			b, err := d.offHeap(half)
			if err != nil {
				return fmt.Errorf("%d MiB for the cache: %w", d.o.CacheBytes>>20, err)
			}
			*into = append(*into, b)
		}
	}
	rows, heads := d.o.MaxRows, (s.Heads+2*s.KVHeads)*s.HeadDim
	d.x, d.y = make([]float32, rows*s.Hidden), make([]float32, rows*max(s.Hidden, s.Heads*s.HeadDim))
	d.wide, d.gated = make([]float32, rows*max(heads, 2*s.Intermediate)), make([]float32, rows*s.Intermediate)
	return nil
}

// offHeap maps zeroed memory that the garbage collector does not count; pages
// are taken from the system when they are first written.
func (d *Decoder) offHeap(floats int) ([]float32, error) {
	b, err := unix.Mmap(-1, 0, 4*floats, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	d.memory = append(d.memory, b)
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), floats), nil
}

// rope fills in the rotary tables as the trainer computes them.
func (d *Decoder) rope() error {
	s := newScope(d.counter)
	defer s.close()
	n := network{spec: d.spec, kind: kindFloat32, device: -1}
	n.invFreq = s.floats(d.spec.InvFreq(), -1)
	positions := make([]int64, d.o.MaxLen)
	for i := range positions {
		positions[i] = int64(i)
	}
	cos, sin := n.rope(s, positions)
	size := d.o.MaxLen * d.spec.HeadDim / 2
	d.cos, d.sin = s.read(cos, size), s.read(sin, size)
	return s.err
}

// Vocab implements engine.Model.
func (d *Decoder) Vocab() int { return d.spec.Vocab }

// Blocks implements engine.Model.
func (d *Decoder) Blocks() int { return d.blocks }

// MaxLen is the context that the decoder was opened with.
func (d *Decoder) MaxLen() int { return d.o.MaxLen }

// Load implements engine.Model: dir must have the tensors of the model that
// the decoder was opened with.
func (d *Decoder) Load(dir string) error { return d.worker.do(func() error { return d.load(dir) }) }

func (d *Decoder) load(dir string) error {
	set, err := safetensors.Open(dir)
	if err != nil {
		return err
	}
	fresh, err := d.read(set)
	if err = errors.Join(err, set.Close()); err != nil {
		fresh.free()
		return fmt.Errorf("%s: %w", dir, err)
	}
	d.weights.free()
	d.weights = fresh
	return nil
}

// Checksums implements engine.Model: of the bytes that were loaded.
func (d *Decoder) Checksums() (map[string]string, error) { return d.weights.sums, nil }

// Copy implements engine.Model.
func (d *Decoder) Copy(from, to int32) {
	size := d.spec.KVHeads * d.spec.HeadDim * engine.BlockTokens
	for i := range d.keys {
		for _, m := range [2][]float32{d.keys[i], d.values[i]} {
			copy(m[int(to)*size:int(to+1)*size], m[int(from)*size:int(from+1)*size])
		}
	}
}

// Close frees everything. A second call does nothing.
func (d *Decoder) Close() error {
	return d.worker.close(func() error {
		d.weights.free()
		d.weights = nil
		var errs []error
		for _, b := range d.memory {
			errs = append(errs, unix.Munmap(b))
		}
		d.memory, d.keys, d.values = nil, nil, nil
		return errors.Join(errs...)
	})
}
