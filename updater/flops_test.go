package updater

import (
	"testing"

	"github.com/justrl/justrl/internal/flops"
)

// Two groups of one rollout, a prompt of 2 and an answer of 1 each: by hand a
// forward pass is 272 operations, 20 of them the head's (internal/flops).
func TestFLOPsByHand(t *testing.T) {
	s := flops.Shape{Layers: 1, Hidden: 2, Intermediate: 3, Heads: 1, KVHeads: 1, HeadDim: 2, Vocab: 5}
	rollout := Rollout{PromptTokenIDs: make([]int32, 2), TokenIDs: make([]int32, 1)}
	groups := []Group{{Ordinal: 9, Rollouts: []Rollout{rollout}}, {Ordinal: 3, Rollouts: []Rollout{rollout}}}
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   float64
	}{
		{"one mini-batch: forward and backward alone", func(*Config) {}, 2 * 3 * 272},
		{"two mini-batches: old log-probs of the second", func(c *Config) { c.MiniBatch = 1 }, 2*3*272 + 272},
		{"… not where they are the server's", func(c *Config) { c.MiniBatch, c.OldLogprobs = 1, OldLogprobsServer }, 2 * 3 * 272},
		{"two epochs, old log-probs once", func(c *Config) { c.MiniBatch, c.Epochs = 1, 2 }, 2*2*3*272 + 272},
		{"recompute: the layers' forward again", func(c *Config) { c.Recompute = true }, 2 * (4*272 - 20)},
		{"a ratio of sequences: the head again", func(c *Config) { c.Ratio = RatioSequence }, 2 * (3*272 + 20)},
		{"a reference model, once whatever the epochs", func(c *Config) { c.KLCoef, c.Epochs = 0.1, 2 }, 2 * (2*3*272 + 272)},
	} {
		c := DefaultConfig()
		tc.change(&c)
		if got := c.FLOPs(s, groups); got != tc.want {
			t.Errorf("%s: %g, by hand %g", tc.name, got, tc.want)
		}
	}
	// Of different lengths it is the ordinal that says which come first.
	groups[0].Rollouts = []Rollout{{PromptTokenIDs: make([]int32, 1), TokenIDs: make([]int32, 1)}} // 136 + 24 + 20 = 180
	c := DefaultConfig()
	c.MiniBatch = 1
	if got := c.FLOPs(s, groups); got != 3*272+3*180+180 {
		t.Errorf("the second by its ordinal: %g", got)
	}
	if got := c.FLOPs(flops.Shape{}, groups); got != 0 {
		t.Errorf("a model that is not known: %g", got)
	}
}
