package main

import (
	"math/rand/v2"
	"testing"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/updater/model"
)

// The formula against a count: a forward pass is walked product by product, as
// a program without matrices would compute it, and every multiplication and
// addition is counted.
func TestForwardFLOP(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	for _, s := range []model.Spec{
		{Layers: 1, Hidden: 4, Intermediate: 6, Heads: 2, KVHeads: 1, HeadDim: 2, Vocab: 7},
		{Layers: 3, Hidden: 6, Intermediate: 5, Heads: 2, KVHeads: 2, HeadDim: 4, Vocab: 11}, // heads × their size is not the width
	} {
		var rollouts []journal.Rollout
		for range 3 {
			rollouts = append(rollouts, journal.Rollout{PromptTokenIDs: make([]int32, 1+r.IntN(4)), TokenIDs: make([]int32, 1+r.IntN(9))})
		}
		want := 0
		for _, ro := range rollouts {
			want += walk(s, len(ro.PromptTokenIDs), len(ro.TokenIDs))
		}
		if got := forwardFLOP(s, rollouts); got != float64(want) {
			t.Errorf("%+v: %g, counted %d", s, got, want)
		}
	}
}

// walk counts the operations of one sequence.
func walk(s model.Spec, prompt, response int) (n int) {
	linear := func(in, out int) {
		for range out {
			for range in {
				n += 2 // multiply, add
			}
		}
	}
	for range s.Layers {
		for token := range prompt + response {
			linear(s.Hidden, s.Heads*s.HeadDim)
			linear(s.Hidden, s.KVHeads*s.HeadDim)
			linear(s.Hidden, s.KVHeads*s.HeadDim)
			for range s.Heads {
				for seen := 0; seen <= token; seen++ {
					linear(s.HeadDim, 1) // the score
					linear(1, s.HeadDim) // the value's part
				}
			}
			linear(s.Heads*s.HeadDim, s.Hidden)
			linear(s.Hidden, s.Intermediate)
			linear(s.Hidden, s.Intermediate)
			linear(s.Intermediate, s.Hidden)
		}
	}
	for range response {
		linear(s.Hidden, s.Vocab)
	}
	return n
}
