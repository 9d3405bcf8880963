package sampler

import (
	"math"
	"testing"
)

func TestInVocab(t *testing.T) {
	for _, c := range []struct {
		id    int32
		vocab int
		want  bool
	}{{0, 8, true}, {7, 8, true}, {8, 8, false}, {-1, 8, false}, {-1, 0, false}, {math.MaxInt32, 0, true}} {
		if got := InVocab(c.id, c.vocab); got != c.want {
			t.Errorf("InVocab(%d, %d) = %t", c.id, c.vocab, got)
		}
	}
	if err := CheckPrompt([]int32{1, 2, 9}, 8); err == nil || err.Error() != "prompt token 2 is 9, outside the vocabulary of 8" {
		t.Error(err)
	}
	if err := CheckTokens([]int32{1, 9}, 4, 8); err == nil || err.Error() != "token 5 is 9, outside the vocabulary of 8: is this the run's model?" {
		t.Error(err)
	}
}

func TestPossibleLogprob(t *testing.T) {
	for x, want := range map[float64]bool{
		0: true, -3: true, -8999: true, 5e-4: true,
		0.1: false, -9999: false, math.Inf(-1): false, math.Inf(1): false,
	} {
		if got := PossibleLogprob(x); got != want {
			t.Errorf("PossibleLogprob(%v) = %t", x, got)
		}
	}
	nan := float32(math.NaN())
	if err := CheckLogprobs([]float32{-1, nan}); err == nil || err.Error() != "token 1 has log-prob NaN, which no sampled token can have" {
		t.Error(err)
	}
}
