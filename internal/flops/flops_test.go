package flops_test

import (
	"math"
	"testing"

	"github.com/justrl/justrl/internal/flops"
)

// The formula against a count: a forward pass is walked product by product, as
// a program without matrices would compute it, and every multiplication and
// addition is counted.
func TestForwardIsWhatAWalkCounts(t *testing.T) {
	for _, s := range []flops.Shape{
		{Layers: 1, Hidden: 4, Intermediate: 6, Heads: 2, KVHeads: 1, HeadDim: 2, Vocab: 7},
		{Layers: 3, Hidden: 6, Intermediate: 5, Heads: 2, KVHeads: 2, HeadDim: 4, Vocab: 11}, // heads × their size is not the width
	} {
		for _, n := range [][2]int{{1, 1}, {4, 9}, {3, 2}} {
			if got, want := s.Forward(n[0], n[1]), walk(s, n[0], n[1]); got != float64(want) {
				t.Errorf("%+v, %d and %d tokens: %g, counted %d", s, n[0], n[1], got, want)
			}
		}
	}
}

// walk counts the operations of one sequence.
func walk(s flops.Shape, prompt, answer int) (n int) {
	linear := func(in, out int) {
		for range out {
			for range in {
				n += 2 // multiply, add
			}
		}
	}
	for range s.Layers {
		for token := range prompt + answer {
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
	for range answer {
		linear(s.Hidden, s.Vocab)
	}
	return n
}

// By hand: one layer, E=2, F=3, one head of 2, V=5; a prompt of 2 and an answer of 1.
//
//	a token's products: q 2·2, k 2·2, v 2·2, o 2·2, gate, up and down 3·2·3 = 34 multiplications
//	three tokens:       3 · 34 · 2                  = 204
//	attention:          1+2+3 = 6 pairs · 2 · 2 · 2 =  48
//	head:               1 · 2·5 · 2                 =  20
func TestByHand(t *testing.T) {
	s := flops.Shape{Layers: 1, Hidden: 2, Intermediate: 3, Heads: 1, KVHeads: 1, HeadDim: 2, Vocab: 5}
	for _, tc := range []struct {
		what      string
		got, want float64
	}{
		{"forward", s.Forward(2, 1), 272}, {"layers", s.Layered(3), 252}, {"attention", s.Attention(3), 48}, {"head", s.Head(1), 20},
		{"a model that is not known", flops.Shape{}.Forward(2, 1), 0},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %g, by hand %g", tc.what, tc.got, tc.want)
		}
	}
}

// Of a large model with short sequences it is near the rule of thumb, two
// operations a weight and token: Qwen2.5-1.5B's layers have 1.31e9 weights.
func TestRuleOfThumb(t *testing.T) {
	s := flops.Shape{Layers: 28, Hidden: 1536, Intermediate: 8960, Heads: 12, KVHeads: 2, HeadDim: 128, Vocab: 151936}
	if got := s.Layered(1); math.Abs(got/(2*1.31e9)-1) > 0.01 {
		t.Errorf("%g operations for a token, twice the weights are %g", got, 2*1.31e9)
	}
}
