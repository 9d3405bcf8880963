package openaitest

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/goccy/go-json"
)

// completionRequest is what the fake understands of a request. What a pointer
// leaves out gets vLLM's default.
type completionRequest struct {
	Model             *string         `json:"model"`
	Prompt            json.RawMessage `json:"prompt"`
	N                 *int            `json:"n"`
	MaxTokens         *int            `json:"max_tokens"`
	MinTokens         int             `json:"min_tokens"`
	Temperature       *float64        `json:"temperature"`
	TopP              *float64        `json:"top_p"`
	TopK              *int            `json:"top_k"`
	MinP              float64         `json:"min_p"`
	Seed              *int64          `json:"seed"`
	Logprobs          *int            `json:"logprobs"`
	PromptLogprobs    *int            `json:"prompt_logprobs"`
	StopTokenIDs      []int32         `json:"stop_token_ids"`
	IgnoreEOS         bool            `json:"ignore_eos"`
	SkipSpecialTokens *bool           `json:"skip_special_tokens"`
	ReturnTokenIDs    bool            `json:"return_token_ids"`
	CacheSalt         *string         `json:"cache_salt"`
	Stream            bool            `json:"stream"`
}

func orDefault[T any](p *T, d T) T {
	if p == nil {
		return d
	}
	return *p
}

// parseCompletion reads and checks a body as vLLM does, in its words.
func parseCompletion(o Options, body []byte) (req completionRequest, prompt []int32, bad *refusal) {
	if bad := decode(body, &req); bad != nil {
		return req, nil, bad
	}
	if bad := checkModel(o, req.Model); bad != nil {
		return req, nil, bad
	}
	prompt, bad = parsePrompt(o, req.Prompt)
	if bad == nil {
		bad = checkParams(o, req, len(prompt))
	}
	return req, prompt, bad
}

func checkModel(o Options, model *string) *refusal {
	if model != nil && *model != o.Model {
		return &refusal{http.StatusNotFound, "NotFoundError", "model",
			fmt.Sprintf("The model `%s` does not exist. Valid aliases: %s.", *model, o.Model)}
	}
	return nil
}

// parsePrompt takes a string or a list of ids; the fake serves one prompt a request.
func parsePrompt(o Options, raw json.RawMessage) ([]int32, *refusal) {
	var text string
	var ids []int32
	if len(raw) == 0 || string(raw) == "null" || string(raw) == `""` {
		return nil, badRequest("prompt", "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)")
	}
	if json.Unmarshal(raw, &text) == nil {
		ids = o.Encode(text)
		ids = ids[:min(len(ids), o.MaxModelLen+1)] // vLLM stops counting there
	} else if err := json.Unmarshal(raw, &ids); err != nil {
		return nil, badRequest("prompt", "the fake server takes a string or one list of token ids")
	}
	if len(ids) == 0 {
		return nil, badRequest("", "You must pass at least one prompt")
	}
	for _, id := range ids {
		if id < 0 || int(id) >= o.Vocab {
			return nil, badRequest("", fmt.Sprintf("Token id %d is out of vocabulary", id))
		}
	}
	return ids, nil
}

func checkParams(o Options, req completionRequest, promptLen int) *refusal {
	n, maxTokens, temperature := orDefault(req.N, 1), orDefault(req.MaxTokens, 16), orDefault(req.Temperature, 1)
	topP, topK := orDefault(req.TopP, 1), orDefault(req.TopK, -1)
	length := fmt.Sprint(promptLen)
	if promptLen == o.MaxModelLen+1 {
		length = "at least " + length
	}
	var outside []string
	for _, id := range req.StopTokenIDs {
		if id < 0 || int(id) >= o.Vocab {
			outside = append(outside, fmt.Sprint(id))
		}
	}
	ids := "[" + strings.Join(outside, ", ") + "]"
	switch {
	case maxTokens > o.MaxModelLen:
		return badRequest("max_tokens", fmt.Sprintf("max_tokens=%d cannot be greater than max_model_len=%d. Please request fewer output tokens. (parameter=max_tokens, value=%d)", maxTokens, o.MaxModelLen, maxTokens))
	case promptLen > o.MaxModelLen:
		return badRequest("input_tokens", fmt.Sprintf("This model's maximum context length is %d tokens. However, your prompt contains %s input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=%d)", o.MaxModelLen, length, promptLen))
	case promptLen == o.MaxModelLen:
		return badRequest("max_tokens", "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)")
	case len(outside) > 0:
		return badRequest("stop_token_ids", fmt.Sprintf("token_id(s) %s in stop_token_ids contain out-of-vocab token ids. Vocabulary size: %d (parameter=stop_token_ids, value=%s)", ids, o.Vocab, ids))
	case n < 1:
		return badRequest("", fmt.Sprintf("n must be at least 1, got %d.", n))
	case temperature < 0:
		return badRequest("temperature", fmt.Sprintf("temperature must be non-negative, got %v. (parameter=temperature, value=%v)", temperature, temperature))
	case temperature > 2:
		return badRequest("temperature", fmt.Sprintf("temperature must be in [0, 2], got %v. (parameter=temperature, value=%v)", temperature, temperature))
	case temperature == 0 && n > 1:
		return badRequest("", fmt.Sprintf("n must be 1 when using greedy sampling, got %d.", n))
	case topP <= 0 || topP > 1:
		return badRequest("top_p", fmt.Sprintf("top_p must be in (0, 1], got %v. (parameter=top_p, value=%v)", topP, topP))
	case topK < -1:
		return badRequest("", fmt.Sprintf("top_k must be 0 (disable), or at least 1, got %d.", topK))
	case req.MinP < 0 || req.MinP > 1:
		return badRequest("", fmt.Sprintf("min_p must be in [0, 1], got %v.", req.MinP))
	case req.CacheSalt != nil && *req.CacheSalt == "":
		return badRequest("cache_salt", "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)")
	case maxTokens < 1:
		return badRequest("max_tokens", fmt.Sprintf("max_tokens must be at least 1, got %d. (parameter=max_tokens, value=%d)", maxTokens, maxTokens))
	case req.MinTokens > maxTokens:
		return badRequest("", fmt.Sprintf("min_tokens must be less than or equal to max_tokens=%d, got %d.", maxTokens, req.MinTokens))
	case orDefault(req.Logprobs, 0) > 20:
		return badRequest("logprobs", fmt.Sprintf("Requested sample logprobs of %d, which is greater than max allowed: 20 (parameter=logprobs, value=%d)", *req.Logprobs, *req.Logprobs))
	case req.Stream:
		return badRequest("stream", "the fake server does not stream")
	}
	return nil
}
