//go:build torch

package torch

import "slices"

// scores are the wanted log-probs and entropies of a row, float32 [N] each.
type scores struct{ logp, entropy []float32 }

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
	targets := s.ints(r.targets, n.device)
	logp, entropy, _ := s.logprob(hidden, n.head.value, targets, temperature, n.headRows())
	return scores{s.read(logp, len(r.targets)), s.read(entropy, len(r.targets))}, s.err
}

// run runs layer i on x. Its activations are in's, its output is s's.
func (n *network) run(s, in *scope, i int, x tensor, c shared) (y tensor, a activations) {
	s.within(in, func() {
		y, a = n.forward(in, &n.layers[i], x, c)
		y = in.keep(y)
	})
	return s.adopt(y), a
}

// train runs a row forward, asks objective for the gradient of the loss by the
// log-probs, and adds the parameters' gradients to theirs.
//
// With recompute the forward pass keeps only each layer's input, and each layer
// runs again just before its backward; without, its activations are kept.
// Nothing else differs.
func (n *network) train(cnt *counter, r row, temperature float64, recompute bool, objective func(scores) []float32) error {
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
	targets := s.ints(r.targets, n.device)
	logp, entropy, lse := s.logprob(hidden, n.head.value, targets, temperature, n.headRows())
	got := scores{s.read(logp, len(r.targets)), s.read(entropy, len(r.targets))}
	if s.err != nil {
		return s.err
	}
	dlogp := objective(got)

	dhidden := s.logprobBackward(hidden, n.head.value, targets, lse, s.floats(dlogp, n.device), temperature, n.headRows(), n.head.summed(s))
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
