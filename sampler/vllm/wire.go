package vllm

import "github.com/justrl/justrl/sampler"

const completionsPath = "/v1/completions"

// completion is a request to /v1/completions. No field may be omitted: what a
// request leaves out, vLLM takes from the model's generation_config.json, and
// the distribution is another one without anybody being told.
type completion struct {
	Model             string  `json:"model"`
	Prompt            []int32 `json:"prompt"`
	N                 int     `json:"n"`
	Seed              int64   `json:"seed"`
	Temperature       float64 `json:"temperature"`
	TopP              float64 `json:"top_p"`
	TopK              int     `json:"top_k"`
	MinP              float64 `json:"min_p"`
	MaxTokens         int     `json:"max_tokens"`
	MinTokens         int     `json:"min_tokens"`
	StopTokenIDs      []int32 `json:"stop_token_ids"`
	IgnoreEOS         bool    `json:"ignore_eos"`
	RepetitionPenalty float64 `json:"repetition_penalty"`
	PresencePenalty   float64 `json:"presence_penalty"`
	FrequencyPenalty  float64 `json:"frequency_penalty"`
	// Logprobs 0 asks for the sampled tokens' only, null for none.
	Logprobs *int `json:"logprobs"`
	// PromptLogprobs 0 asks for the prompt tokens' only, null for none.
	PromptLogprobs    *int `json:"prompt_logprobs"`
	ReturnTokenIDs    bool `json:"return_token_ids"`
	SkipSpecialTokens bool `json:"skip_special_tokens"`
	Stream            bool `json:"stream"`
	// CacheSalt keeps the request out of any prefix cache but its own. It is
	// no sampling parameter, and vLLM refuses an empty one: it is left out when unused.
	CacheSalt string `json:"cache_salt,omitempty"`
}

func newCompletion(model string, r sampler.Request) completion {
	c := completion{
		Model: model, Prompt: r.PromptTokenIDs,
		N: r.Count, Seed: r.Seed + int64(r.First), // vLLM's choice j draws from the stream seed + j
		Temperature: r.Params.Temperature, TopP: r.Params.TopP, TopK: r.Params.TopK, MinP: r.Params.MinP,
		MaxTokens: r.Params.MaxTokens, StopTokenIDs: r.Params.StopTokenIDs,
		RepetitionPenalty: 1, ReturnTokenIDs: true, SkipSpecialTokens: true,
	}
	if c.StopTokenIDs == nil {
		c.StopTokenIDs = []int32{}
	}
	if r.Params.Logprobs {
		c.Logprobs = new(int)
	}
	return c
}
