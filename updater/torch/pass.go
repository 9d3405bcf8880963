//go:build torch

package torch

import "slices"

// scores are the wanted log-probs and entropies of a row, or the gradients by
// them, float32 [N] each. In a gradient no entropy is none: the loss has none in it.
type scores struct{ logp, entropy []float32 }

// cut is n of s from index from on.
func (s scores) cut(from, n int) scores {
	return scores{s.logp[from : from+n], s.entropy[from : from+n]}
}

// score runs a row forward.
func (n *network) score(cnt *counter, r row, temperature float64) (scores, error) {
	s := newScope(cnt)
	defer s.close()
	c, x := n.enter(s, r)
	for i := range n.layers {
		in := newScope(cnt)
		y, _ := n.run(s, in, i, x, c)
		in.close()
		s.drop(x)
		x = y
	}
	hidden, _, _ := n.finish(s, x, r)
	return n.read(s, hidden, r, temperature), s.err
}

// run runs layer i on x. Its activations are in's, its output is s's.
func (n *network) run(s, in *scope, i int, x tensor, c shared) (y tensor, a activations) {
	s.within(in, func() {
		y, a = n.forward(in, &n.layers[i], x, c)
		y = in.keep(y)
	})
	return s.adopt(y), a
}

// train runs a row forward, asks o for the gradient of the loss by the scores,
// and adds the parameters' gradients to theirs.
//
// With recompute the forward pass keeps only each layer's input, and each layer
// runs again just before its backward; without, its activations are kept.
// Nothing else differs.
func (n *network) train(cnt *counter, r row, temperature float64, recompute bool, o objective) error {
	s := newScope(cnt)
	defer s.close()
	c, x := n.enter(s, r)
	type pass struct {
		*scope
		x    tensor
		acts activations
	}
	passes := make([]pass, len(n.layers))
	for i := range passes {
		p := pass{scope: newScope(cnt), x: x}
		defer p.close()
		x, p.acts = n.run(s, p.scope, i, x, c)
		if recompute {
			p.close()
		}
		passes[i] = p
	}

	hidden, selected, rstd := n.finish(s, x, r)
	dx := s.zerosLike(x)
	s.drop(x)
	dhidden := n.throughHead(s, hidden, r, temperature, o)
	s.rmsNormBackward(dhidden, selected, n.norm.value, rstd, dhidden, n.norm.summed(s))
	s.addRows(dx, s.ints(r.heads, n.device), dhidden)
	for _, t := range []tensor{hidden, selected, dhidden} {
		s.drop(t)
	}
	for i, p := range slices.Backward(passes) {
		if recompute {
			var y tensor
			y, p.acts = n.run(s, p.scope, i, p.x, c)
			s.drop(y)
		}
		s.within(p.scope, func() { n.backward(p.scope, &n.layers[i], p.x, p.acts, dx, c) })
		p.close()
		s.drop(p.x)
	}
	s.addRows(n.embed.summed(s), s.ints(r.ids, n.device), s.as(dx, kindFloat32))
	return s.err
}

// enter uploads what all layers share and embeds the row: x [T,E].
func (n *network) enter(s *scope, r row) (shared, tensor) {
	c := shared{lengths: r.lengths}
	c.cos, c.sin = n.rope(s, r.positions)
	return c, s.rows(n.embed.value, s.ints(r.ids, n.device))
}

// finish picks the predicting tokens of x [T,E] and normalises them: [N,E]
// after, before, and the norm's rstd.
func (n *network) finish(s *scope, x tensor, r row) (hidden, selected, rstd tensor) {
	selected = s.rows(x, s.ints(r.heads, n.device))
	hidden, rstd = s.rmsNorm(selected, n.norm.value, n.spec.RMSEps)
	return hidden, selected, rstd
}

// summed is p's gradient, zero before the first pack.
func (p *parameter) summed(s *scope) tensor {
	if !p.grad.ok() {
		p.grad = s.keep(s.zerosLike(p.master))
	}
	return p.grad
}
