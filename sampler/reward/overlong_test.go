package reward

import (
	"math"
	"testing"

	"github.com/justrl/justrl/sampler"
)

// By hand, from the paper's three cases: 16 tokens, of which the last 4 are the buffer.
func TestOverlong(t *testing.T) {
	for _, c := range []struct {
		name            string
		tokens          int
		factor, penalty float64
	}{
		{"one token", 1, 1, 0},
		{"up to the buffer", 12, 1, 0},
		{"its first token", 13, 1, -0.25},
		{"half of it", 14, 1, -0.5},
		{"all of it", 16, 1, -1},
		{"longer than can be", 40, 1, -1},
		{"half the factor", 13, 0.5, -0.125},
		{"a factor that outweighs the reward", 16, 3, -3},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Overlong{MaxTokens: 16, Buffer: 4, Factor: c.factor}
			for _, verdict := range []sampler.Score{{Reward: 1, Correct: true, Answer: "42"}, {Reward: -1, Answer: "7"}} {
				want := verdict
				want.Penalty = c.penalty
				want.Reward += c.penalty
				if got := o.Shape(verdict, c.tokens); got != want {
					t.Errorf("%d tokens: %+v, want %+v", c.tokens, got, want)
				}
			}
			if p := o.Shape(sampler.Score{}, c.tokens).Penalty; p == 0 && math.Signbit(p) {
				t.Error("no penalty is written -0")
			}
		})
	}
}

// The numbers of the ablation in JustRL's paper: 15,360 tokens, 4,096 of them the buffer.
func TestOverlongOfTheAblation(t *testing.T) {
	o := Overlong{MaxTokens: 15360, Buffer: 4096, Factor: 1}
	for tokens, want := range map[int]float64{11264: 0, 11265: -1.0 / 4096, 13312: -0.5, 15360: -1} {
		if got := o.Shape(sampler.Score{Reward: -1}, tokens); got.Penalty != want || got.Reward != -1+want {
			t.Errorf("%d tokens: %+v, want a penalty of %g", tokens, got, want)
		}
	}
}

// Whatever the settings and the length: verl's formula where a length is
// possible, never a reward, never beyond the factor, never less for a shorter answer.
func FuzzOverlong(f *testing.F) {
	f.Add(15360, 4096, 1.0, 15000)
	f.Add(16, 16, 0.5, 1)
	f.Add(1, 1, 1e-300, 1)
	f.Fuzz(func(t *testing.T, maxTokens, buffer int, factor float64, tokens int) {
		o := Overlong{maxTokens, buffer, factor}
		if maxTokens < 1 || buffer < 1 || buffer > maxTokens || !(factor > 0) || factor > 1e100 || tokens < 1 {
			t.Skip()
		}
		verdict := sampler.Score{Reward: 1, Correct: true, Answer: "x"}
		got := o.Shape(verdict, tokens)
		if got.Penalty > 0 || got.Penalty < -factor || got.Reward != 1+got.Penalty || got.Correct != true || got.Answer != "x" {
			t.Fatalf("%+v of %d tokens: %+v", o, tokens, got)
		}
		if tokens <= maxTokens {
			exceeded := float64(tokens - (maxTokens - buffer))
			if want := math.Min(-exceeded/float64(buffer)*factor, 0); got.Penalty != want {
				t.Errorf("%+v of %d tokens: %v, verl's formula gives %v", o, tokens, got.Penalty, want)
			}
		}
		if tokens > 1 && o.Shape(verdict, tokens-1).Penalty < got.Penalty {
			t.Errorf("%+v punishes %d tokens more than %d", o, tokens-1, tokens)
		}
	})
}
