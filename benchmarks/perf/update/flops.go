package main

import (
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater/model"
)

// forwardFLOP is the floating-point operations that a forward pass over the
// rollouts cannot do without: the layers' products on every token, the head's
// on the response's, and attention from each token to itself and those before
// it in its sequence. A product of a and b, added, is two. Norms, activations
// and the softmax are left out, as is usual. A backward pass is twice as much.
func forwardFLOP(s model.Spec, rollouts []journal.Rollout) float64 {
	layer := 0.0 // multiplications of one token
	for _, p := range [][2]int{
		{s.Hidden, s.Heads * s.HeadDim}, {s.Hidden, s.KVHeads * s.HeadDim}, {s.Hidden, s.KVHeads * s.HeadDim}, {s.Heads * s.HeadDim, s.Hidden},
		{s.Hidden, s.Intermediate}, {s.Hidden, s.Intermediate}, {s.Intermediate, s.Hidden},
	} {
		layer += float64(p[0]) * float64(p[1])
	}
	total := 0.0
	for _, r := range rollouts {
		tokens := float64(len(r.PromptTokenIDs) + len(r.TokenIDs))
		head := float64(len(r.TokenIDs)) * float64(s.Hidden) * float64(s.Vocab)
		total += 2 * (float64(s.Layers)*layer*tokens + head)
	}
	return total + attentionFLOP(s, rollouts)
}

// attentionFLOP is the part of forwardFLOP that is no product with a weight.
func attentionFLOP(s model.Spec, rollouts []journal.Rollout) (total float64) {
	for _, r := range rollouts {
		tokens := float64(len(r.PromptTokenIDs) + len(r.TokenIDs))
		pairs := tokens * (tokens + 1) / 2
		total += 2 * 2 * pairs * float64(s.Heads*s.HeadDim) * float64(s.Layers) // scores, and the sum of values
	}
	return total
}
