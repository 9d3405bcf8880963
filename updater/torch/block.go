//go:build torch

package torch

// block is one or more projections of the same input with their weights under
// one another, so that one matrix product does them all. The parameters'
// tensors are views of the block's.
type block struct {
	weights, biases []*parameter // no biases where the architecture has none
	weight, bias    tensor       // [O,I] and [O] in the arithmetic's kind
	dweight, dbias  tensor       // float32, summed over packs; none before the first
	device          int
	inputs, outputs int64
}

// newBlock moves the values of parameters, which are the network's own, into a block.
func newBlock(s *scope, n *network, weights, biases []*parameter) *block {
	b := &block{weights: weights, device: n.device, inputs: weights[0].shape[1]}
	for _, p := range weights {
		b.outputs += p.shape[0]
	}
	b.weight = b.gather(s, weights)
	if biases[0] != nil {
		b.biases = biases
		b.bias = b.gather(s, biases)
	}
	return b
}

func (b *block) gather(s *scope, params []*parameter) tensor {
	values := make([]tensor, len(params))
	for i, p := range params {
		values[i] = p.value
	}
	all := s.keep(s.cat(values))
	b.views(s, all, params, func(p *parameter, view tensor) {
		if p.master == p.value {
			p.master = view
		}
		s.free(p.value)
		p.value = view
	})
	return all
}

// views gives each of params its rows of all.
func (b *block) views(s *scope, all tensor, params []*parameter, give func(*parameter, tensor)) {
	first := int64(0)
	for _, p := range params {
		give(p, s.keep(s.slice(all, first, p.shape[0])))
		first += p.shape[0]
	}
}

// apply is the projections of x [T,I], side by side [T,O], + residual [T,O] if there is one.
func (b *block) apply(s *scope, x, residual tensor) tensor {
	return s.linear(x, b.weight, b.bias, residual)
}

// backward is the gradient of the input [T,I], given that of the output.
func (b *block) backward(s *scope, dy tensor) tensor { return s.linearBackward(dy, b.weight) }

// addGrads adds the gradients of the parameters to theirs, given the output's and the input.
func (b *block) addGrads(s *scope, dy, x tensor) {
	first := !b.dweight.ok()
	if first {
		set := func(p *parameter, view tensor) { p.grad = view }
		b.dweight = s.keep(s.empty([]int64{b.outputs, b.inputs}, kindFloat32, b.device))
		b.views(s, b.dweight, b.weights, set)
		if b.bias.ok() {
			b.dbias = s.keep(s.empty([]int64{b.outputs}, kindFloat32, b.device))
			b.views(s, b.dbias, b.biases, set)
		}
	}
	s.linearWeights(dy, x, first, b.dweight, b.dbias)
}

// dropGrads frees the gradients; the parameters' views are theirs.
func (b *block) dropGrads(c *counter) {
	c.free(b.dweight)
	c.free(b.dbias)
	b.dweight, b.dbias = tensor{}, tensor{}
}

func (b *block) free(c *counter) {
	b.dropGrads(c)
	c.free(b.weight)
	c.free(b.bias)
}
