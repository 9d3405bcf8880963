package llama

import (
	"errors"
	"fmt"
	"slices"

	"github.com/justrl/justrl/sampler"
)

// A token's log-prob is at most 0, but for rounding, and above what stands for
// minus infinity.
const (
	maxLogprob = 1e-3
	minLogprob = -9000
)

// rollout checks a reply against its request. cut tells that the rollout ends
// before the reply does, with a stop token.
func (g *Generator) rollout(r sampler.Request, reply *completionReply) (out sampler.Rollout, cut bool, err error) {
	fail := func(format string, args ...any) (sampler.Rollout, bool, error) {
		return sampler.Rollout{}, false, fmt.Errorf(format, args...)
	}
	out = sampler.Rollout{TokenIDs: reply.Tokens, Text: reply.Content}
	switch reply.StopType {
	case "eos", "word":
		out.FinishReason = sampler.FinishStop
	case "limit":
		out.FinishReason = sampler.FinishLength
	default:
		return fail("stop_type %q is none of eos, limit, word", reply.StopType)
	}
	if len(out.TokenIDs) == 0 {
		return fail("no tokens (a llama-server without return_tokens?)")
	}
	if len(out.TokenIDs) > r.Params.MaxTokens {
		return fail("%d tokens, over n_predict %d", len(out.TokenIDs), r.Params.MaxTokens)
	}
	if reply.TokensEvaluated != len(r.PromptTokenIDs) {
		return fail("a prompt of %d tokens, sent %d", reply.TokensEvaluated, len(r.PromptTokenIDs))
	}
	for i, id := range out.TokenIDs {
		if !g.inVocab(id) {
			return fail("token %d is %d, outside the vocabulary of %d: is this the run's model?", i, id, g.o.Vocab)
		}
	}
	if r.Params.Logprobs {
		if out.Logprobs, err = sampledLogprobs(reply); err != nil {
			return fail("%w", err)
		}
	}
	if at := slices.IndexFunc(out.TokenIDs, func(id int32) bool { return slices.Contains(r.Params.StopTokenIDs, id) }); at >= 0 {
		cut = at+1 < len(out.TokenIDs)
		out.TokenIDs, out.FinishReason = out.TokenIDs[:at+1], sampler.FinishStop
		if out.Logprobs != nil {
			out.Logprobs = out.Logprobs[:at+1]
		}
	}
	return out, cut, nil
}

// sampledLogprobs are those of the reply's tokens.
func sampledLogprobs(reply *completionReply) ([]float32, error) {
	if len(reply.Probabilities) != len(reply.Tokens) {
		return nil, fmt.Errorf("%d completion_probabilities for %d tokens", len(reply.Probabilities), len(reply.Tokens))
	}
	out := make([]float32, len(reply.Tokens))
	for i, p := range reply.Probabilities {
		if p.ID != reply.Tokens[i] {
			return nil, errors.New("completion_probabilities are of other tokens than tokens")
		}
		if !(p.Logprob <= maxLogprob && p.Logprob > minLogprob) {
			return nil, fmt.Errorf("token %d has log-prob %v, which no sampled token can have", i, p.Logprob)
		}
		out[i] = float32(p.Logprob)
	}
	return out, nil
}
