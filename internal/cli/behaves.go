package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// manners are what a server was seen to do with a few requests. "" where these
// do not tell.
type manners struct {
	// Seeds is "heeded" if one request twice gave one answer. On a server that
	// works on others' requests too, rounding can make them differ.
	Seeds string `json:"seeds,omitempty"`
	// Temperature is "honoured" or "ignored".
	Temperature string `json:"temperature,omitempty"`
}

const (
	heeded, ignored, honoured = "heeded", "ignored", "honoured"

	triedN      = 3    // samples of one request
	triedTokens = 16   // of each
	fewTokens   = 4    // where each more is one that its text may not tell
	sameToken   = 0.1  // nats that rounding moves a log-prob by, at most
	lucky       = 1e-4 // an answer so unlikely is not drawn three times by chance
)

// behaves asks for a few tokens: sampled ones twice under one seed, greedy ones
// under two. A server that has been seen to ignore the temperature is refused.
func behaves(ctx context.Context, url string, f what) (m manners, err error) {
	tokens := triedTokens
	if f.info.Dialect == sampler.DialectOllama {
		tokens = fewTokens
	}
	ask := func(temperature float64, n int, seed int64) []sampler.Rollout {
		if err != nil {
			return nil
		}
		var out []sampler.Rollout
		out, err = f.trial.Generate(ctx, sampler.Request{
			PromptTokenIDs: f.hello, Seed: seed, Count: n,
			Params: sampler.Params{N: n, Temperature: temperature, TopP: 1, TopK: -1, MaxTokens: tokens, Logprobs: true},
		})
		return out
	}
	first, again := ask(1, triedN, 1), ask(1, triedN, 1)
	greedy, other := ask(0, 1, 1), ask(0, 1, 2)
	var untold *endpoint.ReplyError
	switch {
	case errors.As(err, &untold) && f.info.Dialect == sampler.DialectOllama: // its text does not tell the tokens
		return m, nil
	case err != nil:
		return m, fmt.Errorf("try the server: %w", err)
	}
	m.Seeds = ignored
	if slices.EqualFunc(first, again, sameAnswer) {
		m.Seeds = heeded
	}
	cold, sure := allAlike(first)
	drawn, said := differ(greedy[0], other[0])
	switch {
	case cold && sure:
		m.Temperature = ignored
		return m, ignores(url, fmt.Sprintf("%d samples at temperature 1 are one and the same unlikely answer", triedN))
	case drawn && said:
		m.Temperature = ignored
		return m, ignores(url, "at temperature 0 another seed gives other tokens")
	case !cold && !drawn:
		m.Temperature = honoured
	}
	return m, nil
}

func ignores(url, why string) error {
	return &sampler.CannotError{URL: url, What: "ignores the temperature: " + why, Hint: "look for what overrides sampling parameters (a gateway, --override-generation-config)"}
}

func sameAnswer(a, b sampler.Rollout) bool { return slices.Equal(a.TokenIDs, b.TokenIDs) }

// allAlike tells whether all samples are the same, and whether that can be no chance.
func allAlike(all []sampler.Rollout) (alike, sure bool) {
	for _, r := range all[1:] {
		if !sameAnswer(all[0], r) {
			return false, false
		}
	}
	if len(all[0].Logprobs) == 0 {
		return true, false
	}
	sum := 0.0
	for _, x := range all[0].Logprobs {
		sum += float64(x)
	}
	return true, sum < math.Log(lucky)
}

// differ tells whether two greedy answers part, and whether that can be no
// rounding: the tokens with which they part are not about as likely.
func differ(a, b sampler.Rollout) (differ, sure bool) {
	n := min(len(a.TokenIDs), len(b.TokenIDs))
	for i := range n {
		if a.TokenIDs[i] == b.TokenIDs[i] {
			continue
		}
		if i >= len(a.Logprobs) || i >= len(b.Logprobs) {
			return true, false
		}
		return true, math.Abs(float64(a.Logprobs[i]-b.Logprobs[i])) > sameToken
	}
	return len(a.TokenIDs) != len(b.TokenIDs), false
}
