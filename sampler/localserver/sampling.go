package localserver

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
)

// Defaults are sampling parameters of requests that leave them out; nil is
// vLLM's own.
type Defaults struct {
	Temperature, TopP, MinP, RepetitionPenalty *float64
	TopK, MaxTokens                            *int64
}

// sampling checks the parameters in vLLM's order and makes the engine's
// request of them. room is what the prompt leaves of the context.
func (s *Server) sampling(p params, room, defaultTokens int64) (Request, *refusal) {
	d := p.defaults
	or := func(p, q *float64, r float64) float64 { return deref(p, deref(q, r)) }
	temperature, topP, minP := or(p.temperature, d.Temperature, 1), or(p.topP, d.TopP, 1), or(p.minP, d.MinP, 0)
	repetition, presence, frequency := or(p.repetition, d.RepetitionPenalty, 1), deref(p.presence, 0), deref(p.frequency, 0)
	topK := deref(p.topK, deref(d.TopK, 0))
	maxTokens := min(deref(p.maxTokens, defaultTokens), room)
	if temperature > 0 && temperature < coldest {
		temperature = coldest
	}
	switch {
	case p.n < 1:
		return Request{}, invalid("", fmt.Sprintf("n must be at least 1, got %d.", p.n))
	case p.n > int64(s.o.MaxN):
		return Request{}, invalid("", fmt.Sprintf("n must be at most %d, got %d. To increase this limit, set the VLLM_MAX_N_SEQUENCES environment variable.", s.o.MaxN, p.n))
	case !(presence >= -2 && presence <= 2):
		return Request{}, invalid("", fmt.Sprintf("presence_penalty must be in [-2, 2], got %s.", pyFloat(presence)))
	case !(frequency >= -2 && frequency <= 2):
		return Request{}, invalid("", fmt.Sprintf("frequency_penalty must be in [-2, 2], got %s.", pyFloat(frequency)))
	case math.IsNaN(repetition) || math.IsInf(repetition, 0):
		return Request{}, invalid("", fmt.Sprintf("repetition_penalty must be a finite number, got %s.", pyFloat(repetition)))
	case repetition <= 0:
		return Request{}, invalid("", fmt.Sprintf("repetition_penalty must be greater than zero, got %s.", pyFloat(repetition)))
	case math.IsNaN(temperature) || math.IsInf(temperature, 0):
		return Request{}, invalidf("temperature", pyFloat(temperature), "temperature must be a finite number, got %s.", pyFloat(temperature))
	case temperature < 0:
		return Request{}, invalidf("temperature", pyFloat(temperature), "temperature must be non-negative, got %s.", pyFloat(temperature))
	case temperature > 2:
		return Request{}, invalidf("temperature", pyFloat(temperature), "temperature must be in [0, 2], got %s.", pyFloat(temperature))
	case !(topP > 0 && topP <= 1):
		return Request{}, invalidf("top_p", pyFloat(topP), "top_p must be in (0, 1], got %s.", pyFloat(topP))
	case topK < -1:
		return Request{}, invalid("", fmt.Sprintf("top_k must be 0 (disable), or at least 1, got %d.", topK))
	case !(minP >= 0 && minP <= 1):
		return Request{}, invalid("", fmt.Sprintf("min_p must be in [0, 1], got %s.", pyFloat(minP)))
	case maxTokens < 1:
		return Request{}, invalidf("max_tokens", maxTokens, "max_tokens must be at least 1, got %d.", maxTokens)
	case p.minTokens < 0:
		return Request{}, invalid("", fmt.Sprintf("min_tokens must be greater than or equal to 0, got %d.", p.minTokens))
	case p.minTokens > maxTokens:
		return Request{}, invalid("", fmt.Sprintf("min_tokens must be less than or equal to max_tokens=%d, got %d.", maxTokens, p.minTokens))
	case slices.Contains(p.stop, ""):
		return Request{}, invalid("", "stop cannot contain an empty string.")
	case temperature == 0 && p.n > 1:
		return Request{}, invalid("", fmt.Sprintf("n must be 1 when using greedy sampling, got %d.", p.n))
	}
	bias, bad := biasIDs(p.bias)
	if bad != nil {
		return Request{}, bad
	}
	if temperature == 0 {
		topP, topK, minP = 1, 0, 0
	}
	if topK == 0 || topK >= int64(s.model.Vocab) {
		topK = -1
	}
	seed := deref(p.seed, -1)
	if seed == -1 { // -1 is none, as in vLLM
		seed = s.o.Seed()
	}
	return Request{
		N: int(p.n), Seed: seed, Temperature: temperature, TopP: topP, TopK: int(topK), MinP: minP,
		MaxTokens: int(maxTokens), MinTokens: int(p.minTokens), IgnoreEOS: p.ignoreEOS,
		RepetitionPenalty: repetition, PresencePenalty: presence, FrequencyPenalty: frequency,
		LogitBias: bias, Salt: p.salt, Fresh: p.promptLogprobs != nil,
	}, nil
}

// biasIDs reads the keys of a logit_bias. Values are cut to [-100, 100].
func biasIDs(bias map[string]float64) (map[int32]float32, *refusal) {
	var out map[int32]float32
	var words []string
	for key, x := range bias {
		key = strings.TrimSpace(key)
		if !isInt(strings.TrimPrefix(key, "+")) {
			words = append(words, pyString(key))
			continue
		}
		if out == nil {
			out = map[int32]float32{}
		}
		if math.IsNaN(x) {
			return nil, invalidf("logit_bias", "nan", "logit_bias of token %s is not a number.", key)
		}
		out[int32(small(clip(strings.TrimPrefix(key, "+"))))] = float32(max(-100, min(100, x)))
	}
	if len(words) > 0 {
		slices.Sort(words)
		shown := "[" + strings.Join(words, ", ") + "]"
		return nil, invalidf("logit_bias", shown, "logit_bias contains key(s) that cannot be converted to integer token IDs: %s", shown)
	}
	return out, nil
}

// late are the checks that vLLM's engine makes, after a stream has begun. They
// complete r.
func (s *Server) late(p params, r *Request) *refusal {
	vocab := s.model.Vocab
	for _, c := range []struct {
		name string
		k    *int64
		what string
	}{{"logprobs", p.logprobs, "sample"}, {"prompt_logprobs", p.promptLogprobs, "prompt"}} {
		k := deref(c.k, 0)
		if k == -1 {
			k = int64(vocab)
		}
		if k > maxLogprobs {
			return invalidf(c.name, k, "Requested %s logprobs of %d, which is greater than max allowed: %d", c.what, k, maxLogprobs)
		}
	}
	var outside []int64
	for id := range r.LogitBias {
		if id < 0 || int(id) >= vocab {
			outside = append(outside, int64(id))
		}
	}
	if slices.Sort(outside); len(outside) > 0 {
		return invalidf("logit_bias", pyInts(outside), "token_id(s) %s in logit_bias contain out-of-vocab token ids. Vocabulary size: %d", pyInts(outside), vocab)
	}
	var bad []int64
	if r.StopTokenIDs, bad = within(p.stopIDs, vocab); len(bad) > 0 {
		return invalidf("stop_token_ids", pyInts(bad), "token_id(s) %s in stop_token_ids contain out-of-vocab token ids. Vocabulary size: %d", pyInts(bad), vocab)
	}
	if p.allowed != nil {
		if len(p.allowed) == 0 {
			return invalidf("allowed_token_ids", "[]", "allowed_token_ids is not None and empty!")
		}
		if r.Allowed, bad = within(p.allowed, vocab); len(bad) > 0 {
			return invalidf("allowed_token_ids", pyInts(bad), "allowed_token_ids contains out-of-vocab token id!")
		}
	}
	r.Top = topOf(p.logprobs, vocab)
	return nil
}

// topOf is the number of tokens that a log-probs field asks for; -1 is all.
func topOf(k *int64, vocab int) int {
	if deref(k, 0) == -1 {
		return vocab
	}
	return small(deref(k, 0))
}

// within splits ids into those of the vocabulary, each once, and the others.
func within(ids []int64, vocab int) (in []int32, out []int64) {
	seen := make(map[int64]bool, len(ids))
	for _, id := range ids {
		switch {
		case id < 0 || id >= int64(vocab):
			out = append(out, id)
		case !seen[id]:
			seen[id] = true
			in = append(in, int32(id))
		}
	}
	return in, out
}

func (s *Server) checkModel(name *string) *refusal {
	if name == nil || slices.Contains(s.o.Models, *name) {
		return nil
	}
	return &refusal{status: http.StatusNotFound, typ: "NotFoundError", param: "model",
		message: fmt.Sprintf("The model `%s` does not exist. Valid aliases: %s.", *name, strings.Join(s.o.Models, ", "))}
}
