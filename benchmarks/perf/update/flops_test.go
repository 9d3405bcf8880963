package main

import (
	"testing"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater/model"
)

// Every rollout counts with its own lengths; internal/flops has the same model by hand.
func TestForwardFLOP(t *testing.T) {
	s := model.Spec{Layers: 1, Hidden: 2, Intermediate: 3, Heads: 1, KVHeads: 1, HeadDim: 2, Vocab: 5}
	rollouts := []journal.Rollout{
		{PromptTokenIDs: make([]int32, 2), TokenIDs: make([]int32, 1)}, // 204 + 48 + 20
		{PromptTokenIDs: make([]int32, 1), TokenIDs: make([]int32, 1)}, // 136 + 24 + 20
	}
	if got, attention := forwardFLOP(s, rollouts), attentionFLOP(s, rollouts); got != 452 || attention != 72 {
		t.Errorf("%g, of which attention %g; by hand 452 and 72", got, attention)
	}
}
