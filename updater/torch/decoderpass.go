//go:build torch

package torch

// #include <stdlib.h>
// #include "decode.h"
import "C"

import (
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/justrl/justrl/updater/engine"
)

// Forward implements engine.Model.
func (d *Decoder) Forward(b *engine.Batch) error {
	return d.worker.do(func() error { return d.forward(b) })
}

// forward is network.forward with a cache, for rows of many sequences.
func (d *Decoder) forward(b *engine.Batch) (err error) {
	s, w, rows := d.spec, d.weights, len(b.IDs)
	if rows > d.o.MaxRows {
		return fmt.Errorf("torch: a pass of %d rows, at most %d", rows, d.o.MaxRows)
	}
	if w == nil {
		return errors.New("torch: the decoder has no weights")
	}
	apply := func(m *matrix, x []float32, rows int, add bool, y []float32) {
		if err == nil {
			err = m.apply(x, rows, add, y)
		}
	}
	eps := C.float(s.RMSEps)
	norm := func(x, weight, y []float32, rows int) {
		C.jr_decode_norm(floats(x), C.int64_t(rows), C.int64_t(s.Hidden), floats(weight), eps, floats(y))
	}
	for r, id := range b.IDs {
		copy(d.x[r*s.Hidden:(r+1)*s.Hidden], w.embed[int(id)*s.Hidden:])
	}
	for i := range w.layers {
		l := &w.layers[i]
		norm(d.x, l.norm1, d.y, rows)
		apply(&l.qkv, d.y, rows, false, d.wide)
		heads := C.jr_heads{
			heads: C.int64_t(s.Heads), kv_heads: C.int64_t(s.KVHeads), dim: C.int64_t(s.HeadDim),
			q_norm: floats(l.qNorm), k_norm: floats(l.kNorm), eps: eps, cos: floats(d.cos), sin: floats(d.sin),
		}
		d.attend(heads, b, i)
		apply(&l.o, d.y, rows, true, d.x)
		norm(d.x, l.norm2, d.y, rows)
		apply(&l.gateUp, d.y, rows, false, d.wide)
		C.jr_decode_swiglu(floats(d.wide), C.int64_t(rows), C.int64_t(s.Intermediate), floats(d.gated))
		apply(&l.down, d.gated, rows, true, d.x)
	}
	want := len(b.Want)
	for i, r := range b.Want {
		copy(d.y[i*s.Hidden:(i+1)*s.Hidden], d.x[int(r)*s.Hidden:int(r+1)*s.Hidden])
	}
	if len(d.logits) < want*s.Vocab {
		d.logits = make([]float32, want*s.Vocab)
	}
	if b.Logits = d.logits[:want*s.Vocab]; want > 0 {
		norm(d.y, w.norm, d.y, want)
		apply(&w.head, d.y, want, false, b.Logits)
	}
	return err
}

// attend fills the cache of layer i and leaves the attention's output in d.y.
func (d *Decoder) attend(h C.jr_heads, b *engine.Batch, i int) {
	rows := C.int64_t(len(b.IDs))
	C.jr_decode_enter(h, floats(d.wide), rows, ints(b.Positions), ints(b.Slots), floats(d.keys[i]), floats(d.values[i]))
	C.jr_decode_attend(h, floats(d.wide), rows, ints(b.Positions), ints(b.Tables), ints(b.Starts), floats(d.keys[i]), floats(d.values[i]), floats(d.y))
}

// Draw implements engine.Model.
func (d *Decoder) Draw(b *engine.Batch, draws []engine.Draw) {
	if len(draws) == 0 {
		return
	}
	d.draws = d.draws[:0]
	for _, q := range draws {
		d.draws = append(d.draws, C.jr_draw{
			row: C.int64_t(q.Row), adjusted: C.int64_t(q.Adjusted), temperature: C.double(q.Temperature), top_p: C.double(q.TopP), min_p: C.double(q.MinP),
			top_k: C.int64_t(q.TopK), uniform: C.double(q.Uniform), given: flag(q.Given), processed: flag(q.Processed), id: C.int32_t(q.ID),
		})
	}
	_ = d.worker.do(func() error { // it can fail only when closed, and then nobody asks
		C.jr_decode_draw(floats(b.Logits), floats(b.Adjusted), C.int64_t(d.spec.Vocab), &d.draws[0], C.int64_t(len(d.draws)))
		return nil
	})
	for i := range draws {
		got := d.draws[i]
		draws[i].ID, draws[i].Rank, draws[i].Logprob = int32(got.id), int(got.rank), float64(got.logprob)
		if got.rank == 0 {
			draws[i].Logprob = math.NaN()
		}
	}
}

func flag(on bool) C.int32_t {
	if on {
		return 1
	}
	return 0
}

func floats(v []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(v))) }

func ints(v []int32) *C.int32_t { return (*C.int32_t)(unsafe.Pointer(unsafe.SliceData(v))) }
