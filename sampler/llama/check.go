package llama

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/justrl/justrl/sampler"
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
	// At the end of its context a server stops, or (--context-shift) forgets the
	// beginning and goes on: what comes then was not sampled after the prompt.
	if stopped := reply.StopType == "limit" && len(out.TokenIDs) < r.Params.MaxTokens; reply.Truncated && !stopped {
		return fail("truncated: the context ran out and was shifted; start llama-server without --context-shift, or with more context")
	}
	if reply.TokensEvaluated != len(r.PromptTokenIDs) {
		return fail("a prompt of %d tokens, sent %d", reply.TokensEvaluated, len(r.PromptTokenIDs))
	}
	if err := sampler.CheckTokens(out.TokenIDs, 0, g.o.Vocab); err != nil {
		return fail("%w", err)
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

// sampledLogprobs are those of the reply's tokens; NaN of a token for which it
// has none, or for which it is not certain which of them is its: llama-server
// leaves a token out of completion_probabilities when the text does not end with
// a whole character after it.
func sampledLogprobs(reply *completionReply) ([]float32, error) {
	probs, tokens := reply.Probabilities, reply.Tokens
	if len(probs) > len(tokens) {
		return nil, fmt.Errorf("%d completion_probabilities for %d tokens", len(probs), len(tokens))
	}
	// Of the ways to find them in order among the tokens, the first and the last.
	first, last := make([]int, len(probs)), make([]int, len(probs))
	for k, i := 0, 0; k < len(probs); k, i = k+1, i+1 {
		for i < len(tokens) && tokens[i] != probs[k].ID {
			i++
		}
		if i == len(tokens) {
			return nil, errors.New("completion_probabilities are of other tokens than tokens")
		}
		first[k] = i
	}
	for k, i := len(probs)-1, len(tokens)-1; k >= 0; k, i = k-1, i-1 {
		for tokens[i] != probs[k].ID {
			i--
		}
		last[k] = i
	}
	out := make([]float32, len(tokens))
	for i := range out {
		out[i] = float32(math.NaN())
	}
	for k, p := range probs {
		if !sampler.PossibleLogprob(p.Logprob) {
			return nil, fmt.Errorf("token %d has log-prob %v, which no sampled token can have", first[k], p.Logprob)
		}
		if first[k] == last[k] {
			out[first[k]] = float32(p.Logprob)
		}
	}
	return out, nil
}

func isNaN(x float32) bool { return x != x }
