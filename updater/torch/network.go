//go:build torch

package torch

import (
	"math"

	"github.com/justrl/justrl/updater/model"
)

// parameter is one tensor of the model and what training keeps beside it.
type parameter struct {
	name   string
	shape  []int64
	value  tensor // what the arithmetic uses
	master tensor // float32; value itself where the arithmetic is float32
	grad   tensor // float32, summed over packs; none before the first; a block's are views of the block's
	m, v   tensor // AdamW's moments, float32; none before the first update
}

// layer is the parameters of one decoder layer; a norm of heads is nil where
// the architecture has none.
type layer struct {
	norm1, norm2         *parameter
	qkv, o, gateUp, down *block
	qNorm, kNorm         *parameter
}

// network is the weights and the forward pass of one policy: Qwen2, Llama and
// Qwen3 are the same function over the same data.
type network struct {
	spec    model.Spec
	kind    kind // of the arithmetic
	device  int  // -1 is the CPU, else a CUDA index
	params  []*parameter
	embed   *parameter
	layers  []layer
	blocks  []*block // of all layers
	norm    *parameter
	head    *parameter // embed itself where the head is tied
	invFreq tensor     // [D/2] float32
	rows    int        // of logits at a time
}

// shared is what all layers of a pass share.
type shared struct {
	lengths  []int64
	cos, sin tensor // [T,D/2] in the arithmetic's kind
}

// rope builds the rotary tables of positions [T] as transformers does: angles,
// cosines and sines in float32, then the arithmetic's kind.
func (n *network) rope(s *scope, positions []int64) (cos, sin tensor) {
	pos := make([]float32, len(positions))
	for i, p := range positions {
		pos[i] = float32(p)
	}
	angles := s.outer(s.floats(pos, n.device), n.invFreq)
	return s.as(s.cos(angles), n.kind), s.as(s.sin(angles), n.kind)
}

// finite says that no value is NaN or infinite.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
