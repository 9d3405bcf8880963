package main

import (
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater/model"
)

// forwardFLOP is the floating-point operations that a forward pass over the
// rollouts cannot do without (internal/flops has the formula). A backward pass is
// twice as much.
func forwardFLOP(s model.Spec, rollouts []journal.Rollout) (total float64) {
	for _, r := range rollouts {
		total += s.Shape().Forward(len(r.PromptTokenIDs), len(r.TokenIDs))
	}
	return total
}

// attentionFLOP is the part of forwardFLOP that is no product with a weight.
func attentionFLOP(s model.Spec, rollouts []journal.Rollout) (total float64) {
	for _, r := range rollouts {
		total += s.Shape().Attention(len(r.PromptTokenIDs) + len(r.TokenIDs))
	}
	return total
}
