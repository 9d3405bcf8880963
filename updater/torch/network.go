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
	value  tensor // what the arithmetic uses; a leaf of the graph
	master tensor // float32; value itself where the arithmetic is float32
	grad   tensor // float32, summed over packs; none before the first
	m, v   tensor // AdamW's moments, float32; none before the first update
}

// layer is the parameters of one decoder layer; a pointer is nil where the
// architecture has none.
type layer struct {
	norm1, norm2   *parameter
	q, k, v, o     projection
	qNorm, kNorm   *parameter
	gate, up, down projection
	params         []*parameter // all of the above
}

type projection struct{ weight, bias *parameter }

// network is the weights and the forward pass of one policy: Qwen2, Llama and
// Qwen3 are the same function over the same data.
type network struct {
	spec    model.Spec
	kind    kind // of the arithmetic
	device  int  // -1 is the CPU, else a CUDA index
	params  []*parameter
	embed   *parameter
	layers  []layer
	norm    *parameter
	head    *parameter // embed itself where the head is tied
	invFreq tensor     // [D/2] float32
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

// forward runs one decoder layer: x [T,E] → [T,E].
func (n *network) forward(s *scope, l *layer, x tensor, c shared) tensor {
	h := n.attend(s, l, s.rmsNorm(x, l.norm1.value, n.spec.RMSEps), c)
	x = s.add(x, h)
	h = s.rmsNorm(x, l.norm2.value, n.spec.RMSEps)
	h = s.swiglu(l.gate.apply(s, h), l.up.apply(s, h))
	return s.add(x, l.down.apply(s, h))
}

// attend is the attention block: x [T,E] → [T,E].
func (n *network) attend(s *scope, l *layer, x tensor, c shared) tensor {
	heads := func(p projection, count int, norm *parameter, turn bool) tensor {
		y := s.view(p.apply(s, x), -1, int64(count), int64(n.spec.HeadDim))
		if norm != nil {
			y = s.rmsNorm(y, norm.value, n.spec.RMSEps)
		}
		if turn {
			y = s.rotary(y, c.cos, c.sin)
		}
		return y
	}
	q := heads(l.q, n.spec.Heads, l.qNorm, true)
	k := heads(l.k, n.spec.KVHeads, l.kNorm, true)
	v := heads(l.v, n.spec.KVHeads, nil, false)
	return l.o.apply(s, s.attention(q, k, v, c.lengths))
}

func (p projection) apply(s *scope, x tensor) tensor {
	var bias tensor
	if p.bias != nil {
		bias = p.bias.value
	}
	return s.linear(x, p.weight.value, bias)
}

// headRows is how many rows of logits exist at a time: about 32 MB of float32,
// enough for the matrix multiplication to run at full speed.
func (n *network) headRows() int {
	const bytes = 32 << 20
	return max(64, bytes/(4*n.spec.Vocab))
}

// finite says that no value is NaN or infinite.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
