package vllm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// Scorer gives a vLLM server's own log-probs of fixed sequences, computed
// afresh. It satisfies bridge.Scorer.
//
// Each sequence is a request of its own, one after the other, so that it is
// alone in its batch as long as nobody else uses the server: the result then
// depends on the weights alone, bit for bit. vLLM does not read the prefix
// cache for a request with prompt log-probs; a cache_salt that was never used
// before makes sure of it on servers that would.
type Scorer struct {
	g    *Generator
	salt func() string
}

// NewScorer makes a Scorer; it sends nothing. o.MaxSamples has no meaning here.
func NewScorer(e *endpoint.Endpoint, o Options) (*Scorer, error) {
	g, err := New(e, o)
	if err != nil {
		return nil, err
	}
	return &Scorer{g: g, salt: rand.Text}, nil
}

// Score returns, for each sequence of T ≥ 2 tokens, T-1 natural log-probs at
// temperature 1 (vLLM's prompt log-probs are always raw): entry t is that of
// token t+1 given tokens 0…t. A sequence must be at least one token shorter
// than the model's context, as vLLM cannot be asked for no token at all.
func (s *Scorer) Score(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	out, err := sampler.ScoreEach(ctx, seqs, s.g.o.Vocab, func(ctx context.Context, ids []int32) (logprobs []float32, err error) {
		err = s.g.o.Retry.Do(ctx, func(ctx context.Context) error {
			logprobs, err = s.score(ctx, ids)
			return err
		})
		return logprobs, err
	})
	if err != nil {
		return nil, fmt.Errorf("vllm: %w", err)
	}
	return out, nil
}

func (s *Scorer) score(ctx context.Context, ids []int32) ([]float32, error) {
	req := completion{
		Model: s.g.o.Model, Prompt: ids, N: 1, TopP: 1, TopK: -1, MaxTokens: 1, StopTokenIDs: []int32{},
		RepetitionPenalty: 1, PromptLogprobs: new(int), ReturnTokenIDs: true, SkipSpecialTokens: true,
		CacheSalt: s.salt(),
	}
	var reply scoreReply
	if err := s.g.e.Do(ctx, http.MethodPost, completionsPath, req, &reply); err != nil {
		return nil, err
	}
	out, err := promptLogprobs(ids, &reply)
	if err != nil {
		return nil, &endpoint.ReplyError{Method: http.MethodPost, URL: s.g.e.URL() + completionsPath, Err: fmt.Errorf("request %s: %w", reply.ID, err)}
	}
	return out, nil
}

// scoreReply is what is read of the answer: prompts are short beside answers,
// and scores are of a canary's few.
type scoreReply struct {
	ID      string `json:"id"`
	Choices []struct {
		PromptLogprobs []promptLogprob `json:"prompt_logprobs"`
	} `json:"choices"`
}

// promptLogprob is one position's entry, by token id in decimal; nil at position 0.
type promptLogprob map[string]struct {
	Logprob *float64 `json:"logprob"`
}

func promptLogprobs(ids []int32, reply *scoreReply) ([]float32, error) {
	if len(reply.Choices) != 1 {
		return nil, fmt.Errorf("%d choices, asked for 1", len(reply.Choices))
	}
	positions := reply.Choices[0].PromptLogprobs
	if len(positions) == 0 {
		return nil, errors.New("no prompt_logprobs")
	}
	if len(positions) != len(ids) {
		return nil, fmt.Errorf("prompt_logprobs of %d positions for %d tokens", len(positions), len(ids))
	}
	out := make([]float32, len(ids)-1)
	for t := range out {
		entry, ok := positions[t+1][strconv.Itoa(int(ids[t+1]))]
		if !ok || entry.Logprob == nil {
			return nil, fmt.Errorf("prompt_logprobs[%d] lacks token %d", t+1, ids[t+1])
		}
		x := *entry.Logprob
		if !sampler.PossibleLogprob(x) {
			return nil, fmt.Errorf("prompt_logprobs[%d] is %v, which no token can have", t+1, x)
		}
		out[t] = float32(x)
	}
	return out, nil
}
