package llama

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/justrl/justrl/internal/splitmix"
	"github.com/justrl/justrl/sampler"
)

const completionPath = "/completion"

// completion is a request to /completion. Nothing is left out: what a request
// leaves out llama-server takes from its own command line, whose defaults
// truncate and penalise.
type completion struct {
	Prompt      []int32 `json:"prompt"`
	NPredict    int     `json:"n_predict"`
	Seed        uint32  `json:"seed"`
	Temperature float64 `json:"temperature"`
	// Samplers is the chain, in the order of vLLM's: temperature first. One that is not named is not applied.
	Samplers []string `json:"samplers"`
	TopK     int      `json:"top_k"` // 0 is off
	TopP     float64  `json:"top_p"`
	MinP     float64  `json:"min_p"`
	MinKeep  int      `json:"min_keep"`

	// Off, each of them, for servers that do not go by Samplers alone.
	DynatempRange    float64  `json:"dynatemp_range"`
	TypicalP         float64  `json:"typical_p"`
	TopNSigma        float64  `json:"top_n_sigma"`
	XTCProbability   float64  `json:"xtc_probability"`
	DRYMultiplier    float64  `json:"dry_multiplier"`
	RepeatPenalty    float64  `json:"repeat_penalty"`
	PresencePenalty  float64  `json:"presence_penalty"`
	FrequencyPenalty float64  `json:"frequency_penalty"`
	Mirostat         int      `json:"mirostat"`
	AdaptiveTarget   float64  `json:"adaptive_target"`
	Stop             []string `json:"stop"`
	LogitBias        []any    `json:"logit_bias"`
	IgnoreEOS        bool     `json:"ignore_eos"`
	NProbs           int      `json:"n_probs"`
	PostSampling     bool     `json:"post_sampling_probs"` // false is raw log-probs
	ReturnTokens     bool     `json:"return_tokens"`
	CachePrompt      bool     `json:"cache_prompt"`
	NKeep            int      `json:"n_keep"`
	NIndent          int      `json:"n_indent"`
	MaxPredictMillis int      `json:"t_max_predict_ms"`
	Stream           bool     `json:"stream"`
	ResponseFields   []string `json:"response_fields,omitempty"`
}

// plain is a request with every sampler off.
func plain(prompt []int32, nPredict int) completion {
	return completion{
		Prompt: prompt, NPredict: nPredict, Temperature: 1, Samplers: []string{"temperature", "min_p", "top_k", "top_p"},
		TopP: 1, TypicalP: 1, TopNSigma: -1, RepeatPenalty: 1, AdaptiveTarget: -1,
		Stop: []string{}, LogitBias: []any{}, ReturnTokens: true,
		ResponseFields: []string{"content", "tokens", "stop_type", "truncated", "tokens_evaluated", "completion_probabilities"},
	}
}

// newCompletion asks for sample j of r's group.
func newCompletion(r sampler.Request, j int) completion {
	c := plain(r.PromptTokenIDs, r.Params.MaxTokens)
	c.Seed = streamSeed(r.Seed + int64(j))
	c.Temperature, c.TopP, c.MinP = r.Params.Temperature, r.Params.TopP, r.Params.MinP
	c.TopK = max(0, r.Params.TopK)
	if r.Params.Logprobs {
		c.NProbs = 1
	}
	return c
}

// streamSeed folds a seed into the 32 bits that llama-server has; its largest
// number stands for a random one.
func streamSeed(seed int64) uint32 {
	const random = 1<<32 - 1
	s := uint32(splitmix.Mix(uint64(seed)) >> 32)
	if s == random {
		return 0
	}
	return s
}

// completionReply is what is read of the answer.
type completionReply struct {
	Content         string       `json:"content"`
	Tokens          []int32      `json:"tokens"`
	StopType        string       `json:"stop_type"` // eos, limit, word, none
	Truncated       bool         `json:"truncated"`
	TokensEvaluated int          `json:"tokens_evaluated"`
	Probabilities   []tokenProbs `json:"completion_probabilities"`
}

// tokenProbs is a sampled token with its log-prob; the most likely ones beside it are skipped.
type tokenProbs struct {
	ID      int32   `json:"id"`
	Logprob logprob `json:"logprob"`
}

// logprob is a number; JSON's null would go into a float32 as 0, a log-prob of certainty.
type logprob float32

// UnmarshalJSON implements json.Unmarshaler.
func (l *logprob) UnmarshalJSON(b []byte) error {
	x, err := strconv.ParseFloat(string(bytes.TrimSpace(b)), 64)
	if err != nil {
		return errors.New("a log-prob is no number")
	}
	*l = logprob(max(x, -1e30)) // float32's lowest stands for minus infinity
	return nil
}
