//go:build torch

package torch

// scores are the wanted log-probs and entropies of a row, or the gradients by
// them, float32 [N] each. In a gradient no entropy is none: the loss has none in it.
type scores struct{ logp, entropy []float32 }

// score runs a row forward without gradients.
func (n *network) score(cnt *counter, r row, temperature float64) (scores, error) {
	s := newScope(cnt)
	defer s.close()
	c, x := n.enter(s, r)
	for i := range n.layers {
		y := s.child(func(in *scope) tensor { return n.forward(in, &n.layers[i], x, c) })
		s.drop(x)
		x = y
	}
	hidden := n.finish(s, x, r)
	targets := s.ints(r.targets, n.device)
	logp, entropy, _ := s.logprob(hidden, n.head.value, targets, temperature, n.headRows())
	return scores{s.read(logp, len(r.targets)), s.read(entropy, len(r.targets))}, s.err
}

// train runs a row forward, asks objective for the gradient of the loss by the
// scores, and adds the parameters' gradients to theirs.
//
// Backward is driven from here, a layer at a time: each layer's input is a leaf
// and the gradient of its output is handed in. With recompute the forward keeps
// only those inputs and each layer runs again just before its backward;
// without, its graph is kept. Nothing else differs.
func (n *network) train(cnt *counter, r row, temperature float64, recompute bool, objective func(scores) scores) error {
	s := newScope(cnt)
	defer s.close()
	c, x := n.enter(s, r)
	run := func(i int, in tensor) tensor {
		return s.child(func(c2 *scope) tensor { return n.forward(c2, &n.layers[i], in, c) })
	}

	inputs, outputs := make([]tensor, len(n.layers)), make([]tensor, len(n.layers))
	for i := range n.layers {
		inputs[i] = s.leaf(x)
		if i == 0 || recompute {
			s.drop(x)
		}
		if recompute {
			x = run(i, inputs[i])
		} else {
			x = s.grad(func() tensor { return run(i, inputs[i]) })
			outputs[i] = x
		}
	}

	last := s.leaf(x)
	if recompute {
		s.drop(x)
	}
	hidden := s.grad(func() tensor { return n.finish(s, last, r) })
	targets := s.ints(r.targets, n.device)
	logp, entropy, lse := s.logprob(hidden, n.head.value, targets, temperature, n.headRows())
	got := scores{s.read(logp, len(r.targets)), s.read(entropy, len(r.targets))}
	if s.err != nil {
		return s.err
	}
	grad := objective(got)

	n.needGrad(s, n.head)
	dlogp, dentropy := s.floats(grad.logp, n.device), tensor{}
	if grad.entropy != nil {
		dentropy = s.floats(grad.entropy, n.device)
	}
	dhidden := s.logprobBackward(hidden, n.head.value, targets, lse, dlogp, entropy, dentropy, temperature, n.headRows(), n.head.grad)
	dx := n.backward(s, hidden, dhidden, last, []*parameter{n.norm})
	s.drop(hidden)
	for i := len(n.layers) - 1; i >= 0; i-- {
		if recompute {
			outputs[i] = s.grad(func() tensor { return run(i, inputs[i]) })
		}
		next := n.backward(s, outputs[i], dx, inputs[i], n.layers[i].params)
		s.drop(dx)
		s.drop(outputs[i])
		s.drop(inputs[i])
		dx = next
	}
	n.needGrad(s, n.embed)
	s.addRows(n.embed.grad, s.ints(r.ids, n.device), s.as(dx, kindFloat32))
	return s.err
}

// enter uploads what all layers share and embeds the row: x [T,E].
func (n *network) enter(s *scope, r row) (shared, tensor) {
	c := shared{lengths: r.lengths}
	c.cos, c.sin = n.rope(s, r.positions)
	return c, s.rows(n.embed.value, s.ints(r.ids, n.device))
}

// finish picks the predicting tokens of x [T,E] and normalises them: [N,E].
func (n *network) finish(s *scope, x tensor, r row) tensor {
	return s.rmsNorm(s.rows(x, s.ints(r.heads, n.device)), n.norm.value, n.spec.RMSEps)
}

// backward returns the gradient of in, given out's, and adds those of params.
func (n *network) backward(s *scope, out, dout, in tensor, params []*parameter) tensor {
	c := newScope(s.counter)
	defer c.close()
	c.err = s.err
	inputs := []tensor{in}
	for _, p := range params {
		inputs = append(inputs, p.value)
	}
	grads := c.gradients(out, dout, inputs)
	for i, p := range params {
		if c.err != nil {
			break
		}
		if p.grad.ok() {
			c.addTo(p.grad, grads[i+1])
		} else {
			p.grad = c.keep(c.contiguous(c.as(grads[i+1], kindFloat32)))
		}
	}
	s.err = c.err
	if s.err != nil {
		return tensor{}
	}
	return s.adopt(c.keep(grads[0]))
}

// needGrad makes p's gradient, zero, where there is none.
func (n *network) needGrad(s *scope, p *parameter) {
	if !p.grad.ok() {
		p.grad = s.keep(s.zerosLike(p.master))
	}
}
