// Package flops counts the floating-point operations that a decoder-only
// transformer (SwiGLU, grouped-query attention) cannot do without.
//
// A forward pass over a sequence of T tokens, of which the logits behind P are
// needed (the answer's), takes
//
//	layers: 2·L·T·(E·H·D + 2·E·K·D + H·D·E + 3·E·F)    products with the weights
//	        + 4·L·H·D·T·(T+1)/2                         attention: scores, and the sum of values
//	head:   2·P·E·V
//
// with L layers of width E and F inside the MLP, H query heads and K key and
// value heads of D, and V words. A multiplication and the addition that takes it
// up are two. This is the count of Narayanan et al., "Efficient Large-Scale
// Language Model Training on GPU Clusters Using Megatron-LM" (arXiv 2104.04473,
// appendix), for this architecture: with grouped heads and a gate, attention to
// the tokens before alone, and the head on those tokens whose logits are used.
// As there, norms, activations, rotations, the softmax and the optimizer are left out.
//
// A backward pass is two forward passes: a product's gradient is one product by
// its input and one by its weight.
package flops

// Shape is what the count needs of a model. The zero value is a model that is
// not known, of which nothing is counted.
type Shape struct {
	Layers, Hidden, Intermediate, Heads, KVHeads, HeadDim, Vocab int
}

// Layered is the operations of the layers' forward pass over a sequence of so many tokens.
func (s Shape) Layered(tokens int) float64 {
	e, q, kv := float64(s.Hidden), float64(s.Heads*s.HeadDim), float64(s.KVHeads*s.HeadDim)
	weights := 2*e*q + 2*e*kv + 3*e*float64(s.Intermediate)
	return 2*float64(s.Layers)*weights*float64(tokens) + s.Attention(tokens)
}

// Attention is the part of Layered that is no product with a weight.
func (s Shape) Attention(tokens int) float64 {
	pairs := float64(tokens) * (float64(tokens) + 1) / 2
	return 4 * pairs * float64(s.Heads*s.HeadDim) * float64(s.Layers)
}

// Head is the operations of the logits behind so many tokens.
func (s Shape) Head(predicted int) float64 {
	return 2 * float64(predicted) * float64(s.Hidden) * float64(s.Vocab)
}

// Forward is those of a forward pass over a prompt and its answer, with the
// answer's logits. To generate the answer takes as many: each token runs through
// the layers once, and looks back at those before it.
func (s Shape) Forward(prompt, answer int) float64 {
	return s.Layered(prompt+answer) + s.Head(answer)
}
