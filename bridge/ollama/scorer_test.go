package ollama

import (
	"context"
	"fmt"

	"github.com/ollama/ollama/api"

	"github.com/justrl/justrl/internal/ollamatest"
)

// scorer is a bridge.Scorer for tests, of all that a position shows: it gives the
// likeliest next tokens' log-probs in the place of the sequence's.
type scorer struct {
	c     *client
	model string
}

func (s scorer) Score(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	out := make([][]float32, len(seqs))
	for i, ids := range seqs {
		for t := range ids[1:] {
			top, err := s.next(ctx, ollamatest.Plain{}.Decode(ids[:t+1], false))
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], float32(top[0].Logprob))
		}
	}
	return out, nil
}

func (s scorer) next(ctx context.Context, prompt string) (top []api.TokenLogprob, err error) {
	no := false
	for seed := range 100 {
		err := s.c.Generate(ctx, &api.GenerateRequest{
			Model: s.model, Prompt: prompt, Raw: true, Stream: &no, Logprobs: true, TopLogprobs: 3,
			Options: map[string]any{"num_predict": 1, "seed": seed, "temperature": 1, "num_ctx": 64},
		}, func(r api.GenerateResponse) error {
			if len(r.Logprobs) > 0 {
				top = r.Logprobs[0].TopLogprobs
			}
			return nil
		})
		if err != nil || top != nil {
			return top, err
		}
	}
	return nil, fmt.Errorf("no log-probs after %q", prompt)
}
