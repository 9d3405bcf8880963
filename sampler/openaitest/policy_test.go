package openaitest_test

import (
	"math"
	"slices"
	"testing"

	"github.com/justrl/justrl/sampler/openaitest"
)

// TestSamplesFollowThePolicy draws single tokens and compares how often each
// came with the policy's probabilities, as they are after temperature and truncation.
func TestSamplesFollowThePolicy(t *testing.T) {
	const vocab, draws = 20, 4000
	fake := openaitest.New(t, openaitest.Options{Vocab: vocab})
	row := make([]float64, vocab) // of the token after the prompt
	for v := range row {
		row[v] = math.Exp(float64(fake.Policy().Logprobs([]int32{5, int32(v)})[0]))
	}
	if sum := sum(row); math.Abs(sum-1) > 1e-6 {
		t.Fatalf("the policy's probabilities add up to %v", sum)
	}
	ranked := slices.Sorted(slices.Values(row))
	slices.Reverse(ranked)
	for _, c := range []struct {
		name string
		a    ask
		want func(p float64) float64 // weight of a token of that probability
	}{
		{"plain", ask{Temperature: 1}, func(p float64) float64 { return p }},
		{"cold", ask{Temperature: 0.5}, func(p float64) float64 { return p * p }},
		{"top-k", ask{Temperature: 1, TopK: 3}, func(p float64) float64 { return over(p, ranked[2]) }},
		{"min-p", ask{Temperature: 1, MinP: 0.2}, func(p float64) float64 { return over(p, 0.2*ranked[0]) }},
		{"top-p of the likeliest", ask{Temperature: 1, TopP: ranked[0] / 2}, func(p float64) float64 { return over(p, ranked[0]) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.a.Prompt, c.a.MaxTokens, c.a.N, c.a.Seed = []int32{5}, 1, draws, 11
			counts := make([]float64, vocab)
			for _, choice := range complete(t, fake, c.a).Choices {
				counts[choice.TokenIDs[0]]++
			}
			weights := make([]float64, vocab)
			for v := range weights {
				weights[v] = c.want(row[v])
			}
			var chi2 float64
			for v, w := range weights {
				want := draws * w / sum(weights)
				if want == 0 && counts[v] > 0 {
					t.Errorf("token %d was drawn %v times and is excluded", v, counts[v])
				}
				if want > 0 {
					chi2 += (counts[v] - want) * (counts[v] - want) / want
				}
			}
			if chi2 > 50 { // 19 degrees of freedom at most: p < 2e-4
				t.Errorf("χ² = %.1f: drew %v, want shares %v", chi2, counts, weights)
			}
		})
	}
}

func over(p, limit float64) float64 {
	if p < limit-1e-9 {
		return 0
	}
	return p
}

func sum(xs []float64) (s float64) {
	for _, x := range xs {
		s += x
	}
	return s
}

func TestLogprobsAreThePolicys(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	zero := 0
	for _, temperature := range []float64{1, 0.5, 0} { // raw log-probs do not depend on it
		choice := complete(t, fake, ask{Prompt: prompt, MaxTokens: 5, Temperature: temperature, Seed: 3, PromptLogprobs: &zero}).Choices[0]
		want := fake.Policy().Logprobs(slices.Concat(prompt, choice.TokenIDs))
		if got := choice.Logprobs.TokenLogprobs; !slices.Equal(got, want[len(prompt)-1:]) {
			t.Errorf("temperature %v: log-probs %v, the policy's are %v", temperature, got, want[len(prompt)-1:])
		}
		if choice.PromptLogprobs[0] != nil || len(choice.PromptLogprobs) != len(prompt) {
			t.Fatalf("prompt log-probs %v", choice.PromptLogprobs)
		}
		if got := choice.PromptLogprobs[1]["20"]; got.Logprob != want[0] || got.Rank < 1 {
			t.Errorf("first prompt log-prob %v, the policy's is %v", got, want[0])
		}
	}
	processed := openaitest.New(t, openaitest.Options{Processed: true})
	choice := complete(t, processed, ask{Prompt: prompt, MaxTokens: 1, Temperature: 0.5, Seed: 3}).Choices[0]
	if raw := processed.Policy().Logprobs([]int32{22, choice.TokenIDs[0]}); raw[0] == choice.Logprobs.TokenLogprobs[0] {
		t.Error("processed log-probs are the raw ones")
	}
}

// TestSeeds: choice j of seed s is choice 0 of seed s+j, whatever n is.
func TestSeeds(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	a := ask{Prompt: prompt, N: 4, MaxTokens: 8, Temperature: 1, Seed: 100}
	whole := complete(t, fake, a)
	for j, choice := range whole.Choices {
		a.N, a.Seed = 1, 100+int64(j)
		if got := complete(t, fake, a).Choices[0].TokenIDs; !slices.Equal(got, choice.TokenIDs) {
			t.Errorf("seed %d alone gave %v, choice %d was %v", a.Seed, got, j, choice.TokenIDs)
		}
	}
	if slices.Equal(whole.Choices[0].TokenIDs, whole.Choices[1].TokenIDs) {
		t.Error("two seeds gave the same")
	}
}
