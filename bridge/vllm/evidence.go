package vllm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"

	"github.com/justrl/justrl/internal/endpoint"
)

// emptySHA256 is the checksum that vLLM on a CPU gives of linear layers, whose
// bytes oneDNN has packed out of its sight.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Checksums implements bridge.Checksummer: vLLM 0.32 and later.
func (p *Publisher) Checksums(ctx context.Context) (sums map[string]string, hidden int, err error) {
	var reply struct {
		Checksums map[string]string `json:"checksums"`
	}
	err = p.do(ctx, http.MethodPost, "/weight_checker", map[string]string{"action": "checksum"}, &reply)
	if status := endpoint.StatusOf(err); status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("checksums of the weights: %w", err)
	}
	sums = map[string]string{}
	for name, sum := range reply.Checksums {
		if sum == emptySHA256 {
			hidden++
			continue
		}
		sums[name] = sum
	}
	return sums, hidden, nil
}

// Next implements bridge.CacheProber: a greedy completion of one token, on the
// same path and through the same cache as rollouts.
func (p *Publisher) Next(ctx context.Context, prompt []int32) (int32, float32, error) {
	var reply struct {
		Choices []struct {
			TokenIDs []int32 `json:"token_ids"`
			Logprobs *struct {
				TokenLogprobs []float64 `json:"token_logprobs"`
			} `json:"logprobs"`
		} `json:"choices"`
	}
	err := p.do(ctx, http.MethodPost, "/v1/completions", map[string]any{
		"model": p.o.Model, "prompt": prompt, "n": 1, "max_tokens": 1, "min_tokens": 1,
		"temperature": 0, "top_p": 1, "top_k": -1, "min_p": 0, "repetition_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0,
		"logprobs": 0, "return_token_ids": true,
	}, &reply)
	if err != nil {
		return 0, 0, err
	}
	bad := func(why string) (int32, float32, error) {
		return 0, 0, &endpoint.ReplyError{Method: http.MethodPost, URL: p.e.URL() + "/v1/completions", Err: errors.New(why)}
	}
	if len(reply.Choices) != 1 || len(reply.Choices[0].TokenIDs) != 1 {
		return bad("not one choice of one token, as was asked for")
	}
	c := reply.Choices[0]
	if c.Logprobs == nil || len(c.Logprobs.TokenLogprobs) != 1 {
		return bad("no log-prob of the token")
	}
	lp := c.Logprobs.TokenLogprobs[0]
	if math.IsNaN(lp) || math.IsInf(lp, 0) || lp > 1e-3 {
		return bad(strings.TrimSpace(fmt.Sprintf("a log-prob of %v", lp)))
	}
	return c.TokenIDs[0], float32(lp), nil
}
