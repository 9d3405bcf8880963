//go:build torch

package torch

// #include <stdlib.h>
// #include "decode.h"
import "C"

import (
	"crypto/sha256"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/updater/model"
	"github.com/justrl/justrl/updater/safetensors"
)

// decoderWeights is a model laid out for generation.
type decoderWeights struct {
	embed  []float32 // [V,E], outside Go's heap
	memory []byte    // what embed lies in
	layers []decoderLayer
	norm   []float32
	head   matrix
	sums   map[string]string // SHA-256 of the tensors as they were in the files
}

type decoderLayer struct {
	norm1, norm2, qNorm, kNorm []float32 // nil where the architecture has none
	qkv, o, gateUp, down       matrix
}

// matrix is a linear layer in C++.
type matrix struct{ h C.jr_matrix }

func (m *matrix) apply(x []float32, rows int, add bool, y []float32) error {
	plus := C.int(0)
	if add {
		plus = 1
	}
	return asError(C.jr_matrix_apply(m.h, floats(x), C.int64_t(rows), plus, floats(y)))
}

func (m *matrix) free() {
	C.jr_matrix_free(m.h)
	m.h = nil
}

// free releases what w holds; w may be nil.
func (w *decoderWeights) free() {
	if w == nil {
		return
	}
	w.head.free()
	for i := range w.layers {
		l := &w.layers[i]
		for _, m := range []*matrix{&l.qkv, &l.o, &l.gateUp, &l.down} {
			m.free()
		}
	}
	if w.memory != nil {
		_ = unix.Munmap(w.memory) // nothing can be done, and nothing depends on it
	}
	*w = decoderWeights{}
}

// read lays out the weights of set. What it returns must be freed, on an error too.
func (d *Decoder) read(set *safetensors.Set) (*decoderWeights, error) {
	w := &decoderWeights{layers: make([]decoderLayer, d.spec.Layers)}
	r := &reader{d: d, set: set, shapes: map[string][]int64{}, sums: map[string]string{}}
	w.sums = r.sums
	for _, t := range d.spec.Tensors() {
		r.shapes[t.Name] = t.Shape
	}
	for i := range w.layers {
		l := &w.layers[i]
		vector := func(name string) []float32 { return r.vector(model.LayerName(i, name+".weight")) }
		linear := func(names ...string) matrix {
			for j := range names {
				names[j] = model.LayerName(i, names[j])
			}
			return r.matrix(names...)
		}
		l.norm1, l.norm2 = vector("input_layernorm"), vector("post_attention_layernorm")
		l.qNorm, l.kNorm = vector("self_attn.q_norm"), vector("self_attn.k_norm")
		l.qkv = linear("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
		l.o = linear("self_attn.o_proj")
		l.gateUp, l.down = linear("mlp.gate_proj", "mlp.up_proj"), linear("mlp.down_proj")
	}
	w.norm = r.vector(model.NormName)
	r.embed(w)
	head := model.HeadName
	if d.spec.TiedHead {
		head = model.EmbedName
	}
	w.head = r.matrix(head[:len(head)-len(".weight")])
	return w, r.err
}

// reader reads tensors as float32; the first failure sticks.
type reader struct {
	d      *Decoder
	set    *safetensors.Set
	shapes map[string][]int64 // of the tensors that the architecture has
	sums   map[string]string
	err    error
}

// tensor is a tensor of the set; no tensor where the architecture has none of that name.
func (r *reader) tensor(s *scope, name string) tensor {
	shape, ok := r.shapes[name]
	if !ok || r.err != nil {
		return tensor{}
	}
	info, ok := r.set.Info(name)
	if !ok {
		r.err = fmt.Errorf("the weights have no tensor %s", name)
		return tensor{}
	}
	if fmt.Sprint(info.Shape) != fmt.Sprint(shape) {
		r.err = fmt.Errorf("tensor %s has shape %v, the model's is %v", name, info.Shape, shape)
		return tensor{}
	}
	k, err := kindOf(info.DType)
	if err == nil {
		var data []byte
		if data, err = r.set.Bytes(name); err == nil {
			if r.sums[name] == "" {
				r.sums[name] = fmt.Sprintf("%x", sha256.Sum256(data))
			}
			return s.from(unsafe.Pointer(unsafe.SliceData(data)), shape, k, -1, kindFloat32)
		}
	}
	r.err = fmt.Errorf("tensor %s: %w", name, err)
	return tensor{}
}

// vector reads a small tensor into Go's memory; nil where there is none.
func (r *reader) vector(name string) []float32 {
	s := newScope(r.d.counter)
	defer s.close()
	t := r.tensor(s, name)
	if !t.ok() {
		return nil
	}
	v := s.read(t, int(r.shapes[name][0]))
	r.fail(s)
	return v
}

// matrix lays out the linear layers of some names below one another.
func (r *reader) matrix(names ...string) (m matrix) {
	s := newScope(r.d.counter)
	defer s.close()
	var weights, biases []tensor
	for _, name := range names {
		weights, biases = append(weights, r.tensor(s, name+".weight")), append(biases, r.tensor(s, name+".bias"))
	}
	if r.fail(s); r.err != nil {
		return m
	}
	invariant := C.int(1)
	if r.d.o.Batched {
		invariant = 0
	}
	w, b := handles(weights), handles(biases)
	r.err = asError(C.jr_matrix_new(&w[0], &b[0], C.int(len(names)), invariant, &m.h))
	return m
}

func (r *reader) embed(w *decoderWeights) {
	s := newScope(r.d.counter)
	defer s.close()
	t := r.tensor(s, model.EmbedName)
	if r.fail(s); r.err != nil {
		return
	}
	size := r.d.spec.Vocab * r.d.spec.Hidden
	b, err := unix.Mmap(-1, 0, 4*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		r.err = fmt.Errorf("%d MiB for the embedding: %w", 4*size>>20, err)
		return
	}
	w.memory, w.embed = b, unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), size)
	s.bytes(t, kindFloat32, b)
	r.fail(s)
}

func (r *reader) fail(s *scope) {
	if r.err == nil {
		r.err = s.err
	}
}
