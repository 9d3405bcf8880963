package sglang

import (
	"errors"
	"fmt"
	"slices"

	"github.com/justrl/justrl/sampler"
)

// rollouts checks a reply against its request. A reply that is wrong in any
// place is refused as a whole: whatever made it cannot be trusted with the rest.
func (g *Generator) rollouts(r sampler.Request, reply []answer) ([]sampler.Rollout, error) {
	if len(reply) != r.Count {
		return nil, fmt.Errorf("%d answers, asked for %d", len(reply), r.Count)
	}
	out := make([]sampler.Rollout, r.Count)
	for i := range reply {
		rollout, err := g.rollout(r, &reply[i])
		if err != nil {
			return nil, fmt.Errorf("answer %d (request %s): %w", i, reply[i].MetaInfo.ID, err)
		}
		if a, b := reply[0].MetaInfo.WeightVersion, reply[i].MetaInfo.WeightVersion; a != b {
			return nil, fmt.Errorf("answers 0 and %d are of weights %q and %q: somebody loads weights while rollouts are sampled", i, a, b)
		}
		rollout.Sample = r.First + i
		out[i] = rollout
	}
	return out, nil
}

func (g *Generator) rollout(r sampler.Request, a *answer) (sampler.Rollout, error) {
	fail := func(format string, args ...any) (sampler.Rollout, error) {
		return sampler.Rollout{}, fmt.Errorf(format, args...)
	}
	m := &a.MetaInfo
	if m.FinishReason == nil {
		return fail("no finish_reason")
	}
	out := sampler.Rollout{Text: a.Text, FinishReason: sampler.FinishReason(m.FinishReason.Type)}
	switch out.FinishReason {
	case sampler.FinishStop, sampler.FinishLength:
	case sampler.FinishAbort:
		if status := m.FinishReason.StatusCode; status >= 400 && status < 500 {
			return fail("refused with status %d: %s", status, m.FinishReason.Message)
		}
		return out, nil // whatever there is of it is asked for again
	default:
		return fail("finish_reason %q is none of stop, length, abort", m.FinishReason.Type)
	}
	if g.o.Tag != nil && r.Version != 0 && m.WeightVersion != "" {
		if want := g.o.Tag(r.Version); m.WeightVersion != want {
			return fail("it is of weights %q, asked for version %d (%q)", m.WeightVersion, r.Version, want)
		}
	}
	if m.PromptTokens != len(r.PromptTokenIDs) {
		return fail("a prompt of %d tokens, sent %d", m.PromptTokens, len(r.PromptTokenIDs))
	}
	out.TokenIDs = a.OutputIDs
	if r.Params.Logprobs {
		var err error
		if out.TokenIDs, out.Logprobs, err = withLogprobs(a); err != nil {
			return sampler.Rollout{}, err
		}
	}
	if len(out.TokenIDs) == 0 {
		return fail("no output_ids (an SGLang before 0.5.2?)")
	}
	if len(out.TokenIDs) > r.Params.MaxTokens {
		return fail("%d tokens, over max_new_tokens %d", len(out.TokenIDs), r.Params.MaxTokens)
	}
	if m.CompletionTokens != len(out.TokenIDs) {
		return fail("%d tokens, and completion_tokens says %d", len(out.TokenIDs), m.CompletionTokens)
	}
	return out, sampler.CheckTokens(out.TokenIDs, 0, g.o.Vocab)
}

// withLogprobs are the tokens and log-probs of an answer. The ids beside the
// log-probs say which tokens they are of, so they must be those of output_ids.
func withLogprobs(a *answer) ([]int32, []float32, error) {
	l := &a.MetaInfo.OutputLogprobs
	if len(a.OutputIDs) != len(l.IDs) && a.OutputIDs != nil {
		return nil, nil, fmt.Errorf("%d output_token_logprobs for %d output_ids", len(l.IDs), len(a.OutputIDs))
	}
	if a.OutputIDs != nil && !slices.Equal(a.OutputIDs, l.IDs) {
		return nil, nil, errors.New("output_token_logprobs are of other tokens than output_ids")
	}
	return l.IDs, l.Logprobs, sampler.CheckLogprobs(l.Logprobs)
}
