//go:build torch

package torch

// activations are what a layer's backward pass needs of its forward pass,
// beside its input: about (2H + 2K)·D + E + 2F elements a token (F the width
// of the MLP), and (H + K)·D more where heads are normalised. What a cheap operation can make again is not among them: the
// outputs of the norms and of the MLP's product.
type activations struct {
	rstd1, rstd2 tensor // of the norms, float32 [T,1]
	qkv          tensor // [T,(H+2K)·D] queries, keys and values; turned in place unless they are normalised
	q, k, v      tensor // what attention saw, [T,·,D]: views of qkv, or of their own where they are normalised
	rstdQ, rstdK tensor // of the norms of heads, float32
	heads, lse   tensor // attention's output [T,H·D]
	mid          tensor // [T,E] after attention
	gateUp       tensor // [T,2F]
}

// forward runs one decoder layer: x [T,E] → [T,E]. All that it makes is s's.
func (n *network) forward(s *scope, l *layer, x tensor, c shared) (tensor, activations) {
	var a activations
	var h tensor
	h, a.rstd1 = s.rmsNorm(x, l.norm1.value, n.spec.RMSEps)
	a.qkv = l.qkv.apply(s, h, tensor{})
	s.drop(h)
	a.q, a.k, a.v = n.split(s, a.qkv)
	if l.qNorm != nil {
		a.q, a.rstdQ = s.rmsNorm(a.q, l.qNorm.value, n.spec.RMSEps)
		a.k, a.rstdK = s.rmsNorm(a.k, l.kNorm.value, n.spec.RMSEps)
	}
	s.rotary(a.q, c.cos, c.sin, false)
	s.rotary(a.k, c.cos, c.sin, false)
	a.heads, a.lse = s.attention(a.q, a.k, a.v, c.lengths)
	a.mid = l.o.apply(s, a.heads, x)

	h, a.rstd2 = s.rmsNorm(a.mid, l.norm2.value, n.spec.RMSEps)
	a.gateUp = l.gateUp.apply(s, h, tensor{})
	s.drop(h)
	inner := s.swiglu(a.gateUp)
	out := l.down.apply(s, inner, a.mid)
	s.drop(inner)
	return out, a
}

// backward takes dy [T,E], the gradient of the layer's output, and makes it
// that of its input x, in place; the parameters' gradients are added to theirs.
// It uses up what the forward pass kept.
func (n *network) backward(s *scope, l *layer, x tensor, a activations, dy tensor, c shared) {
	dinner := l.down.backward(s, dy)
	inner := s.swigluBackward(a.gateUp, dinner)
	s.drop(dinner)
	l.down.addGrads(s, dy, inner)
	s.drop(inner)
	dgateUp := a.gateUp // swigluBackward left it there
	n.throughNorm(s, l.gateUp, l.norm2, a.mid, a.rstd2, dgateUp, dy)
	s.drop(dgateUp)

	dheads := l.o.backward(s, dy)
	l.o.addGrads(s, dy, a.heads)
	dqkv := s.emptyLike(a.qkv)
	dq, dk, dv := n.split(s, dqkv)
	s.attentionBackward(dheads, a.q, a.k, a.v, a.heads, a.lse, c.lengths, dq, dk, dv)
	s.drop(dheads)
	s.rotary(dq, c.cos, c.sin, true)
	s.rotary(dk, c.cos, c.sin, true)
	if l.qNorm != nil {
		q, k, _ := n.split(s, a.qkv)
		s.rmsNormBackward(dq, q, l.qNorm.value, a.rstdQ, dq, l.qNorm.summed(s))
		s.rmsNormBackward(dk, k, l.kNorm.value, a.rstdK, dk, l.kNorm.summed(s))
	}
	n.throughNorm(s, l.qkv, l.norm1, x, a.rstd1, dqkv, dy)
}

// throughNorm is the backward pass of b behind a norm of x: given dout, the
// gradient of b's output, it adds x's to dx.
func (n *network) throughNorm(s *scope, b *block, norm *parameter, x, rstd, dout, dx tensor) {
	h, again := s.rmsNorm(x, norm.value, n.spec.RMSEps)
	s.drop(again)
	b.addGrads(s, dout, h)
	s.drop(h)
	dh := b.backward(s, dout)
	s.rmsNormBackward(dh, x, norm.value, rstd, dx, norm.summed(s))
	s.drop(dh)
}

// split is the queries [T,H,D], keys and values [T,K,D] of qkv; views.
func (n *network) split(s *scope, qkv tensor) (q, k, v tensor) {
	h, kv, d := int64(n.spec.Heads), int64(n.spec.KVHeads), int64(n.spec.HeadDim)
	return s.columns(qkv, 0, h, d), s.columns(qkv, h*d, kv, d), s.columns(qkv, (h+kv)*d, kv, d)
}
