package vllm

import (
	"fmt"
	"slices"

	"github.com/justrl/justrl/sampler"
)

// rollouts checks a reply against its request and gives the rollouts in the
// order of their sample index. A reply that is wrong in any place is refused
// as a whole: whatever made it cannot be trusted with the rest.
func (g *Generator) rollouts(r sampler.Request, reply *completionReply) ([]sampler.Rollout, error) {
	if len(reply.Choices) != r.Count {
		return nil, fmt.Errorf("%d choices, asked for %d", len(reply.Choices), r.Count)
	}
	out := make([]sampler.Rollout, r.Count)
	seen := make([]bool, r.Count)
	for i := range reply.Choices {
		c := &reply.Choices[i]
		if c.Index == nil || *c.Index < 0 || *c.Index >= r.Count || seen[*c.Index] {
			return nil, fmt.Errorf("choice %d has index %s, which is missing, out of range or there twice", i, show(c.Index))
		}
		seen[*c.Index] = true
		rollout, err := g.rollout(r, c)
		if err != nil {
			return nil, fmt.Errorf("choice %d: %w", *c.Index, err)
		}
		rollout.Sample = r.First + *c.Index
		out[*c.Index] = rollout
	}
	return out, nil
}

func (g *Generator) rollout(r sampler.Request, c *choice) (sampler.Rollout, error) {
	out := sampler.Rollout{TokenIDs: c.TokenIDs, Text: c.Text, FinishReason: sampler.FinishReason(c.FinishReason)}
	fail := func(format string, args ...any) (sampler.Rollout, error) {
		return sampler.Rollout{}, fmt.Errorf(format, args...)
	}
	switch out.FinishReason {
	case sampler.FinishStop, sampler.FinishLength:
	case sampler.FinishAbort:
		return out, nil // whatever there is of it is asked for again
	default:
		return fail("finish_reason %q is none of stop, length, abort", c.FinishReason)
	}
	if len(c.TokenIDs) == 0 {
		return fail("no token_ids, without which nothing can be trained on: vLLM gives them from 0.11 on, unless a proxy before it drops return_token_ids")
	}
	if len(c.TokenIDs) > r.Params.MaxTokens {
		return fail("%d tokens, over max_tokens %d", len(c.TokenIDs), r.Params.MaxTokens)
	}
	if err := sampler.CheckTokens(c.TokenIDs, 0, g.o.Vocab); err != nil {
		return sampler.Rollout{}, err
	}
	if !slices.Equal(c.PromptTokenIDs, r.PromptTokenIDs) {
		return fail("prompt_token_ids are not the prompt that was sent (%d tokens, sent %d)", len(c.PromptTokenIDs), len(r.PromptTokenIDs))
	}
	if !r.Params.Logprobs {
		return out, nil
	}
	if c.Logprobs == nil || len(c.Logprobs.TokenLogprobs) != len(c.TokenIDs) {
		n := 0
		if c.Logprobs != nil {
			n = len(c.Logprobs.TokenLogprobs)
		}
		return fail("%d token_logprobs for %d token_ids", n, len(c.TokenIDs))
	}
	if err := sampler.CheckLogprobs(c.Logprobs.TokenLogprobs); err != nil {
		return sampler.Rollout{}, err
	}
	out.Logprobs = c.Logprobs.TokenLogprobs
	return out, nil
}

func show(i *int) string {
	if i == nil {
		return "null"
	}
	return fmt.Sprint(*i)
}
