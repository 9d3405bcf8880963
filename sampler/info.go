package sampler

import "fmt"

// LogprobsMode is what a server's log-probs are of.
type LogprobsMode string

// The modes that servers have.
const (
	LogprobsRaw       LogprobsMode = "raw"       // of the model's distribution, before temperature and truncation
	LogprobsProcessed LogprobsMode = "processed" // of the distribution that was sampled from
	LogprobsUnknown   LogprobsMode = ""          // the server gives none, or not enough to tell
)

// Dialect is the API that a server speaks beside OpenAI's.
type Dialect string

// The dialects.
const (
	DialectVLLM   Dialect = "vllm"
	DialectSGLang Dialect = "sglang"
	DialectLlama  Dialect = "llama.cpp" // llama-server
	DialectOllama Dialect = "ollama"
	DialectOpenAI Dialect = "openai" // nothing beyond /v1/chat/completions and /v1/completions is known of it
)

// Info is what a server is, as far as it lets itself be asked. The Probe of a
// dialect's package finds it, without changing anything.
type Info struct {
	Dialect Dialect `json:"dialect"`
	Version string  `json:"version"` // the server program's; "" if it does not say
	// Models are the served models' names, the base model first.
	Models []string `json:"models"`
	// Adapters are those of Models that are adapters of another.
	Adapters []string `json:"adapters,omitempty"`
	// Model is the one that was probed, Root what the server loaded it from.
	Model string `json:"model"`
	Root  string `json:"root"`
	// Quantization is how the model's weights are stored, in the server's words; "" if it does not say.
	Quantization string `json:"quantization,omitempty"`
	// MaxModelLen is the context in tokens, prompt and answer together; 0 if unknown.
	MaxModelLen int `json:"max_model_len"`
	// Vocab is the number of token ids that the model knows; 0 if unknown.
	Vocab int `json:"vocab"`
	// TokenIDs tells whether prompts may be token ids and answers come as such.
	TokenIDs bool `json:"token_ids"`
	// LogprobsMode is of the log-probs of sampled tokens.
	LogprobsMode LogprobsMode `json:"logprobs_mode"`
	// Scores tells whether the server gives the log-probs of fixed sequences,
	// which the canary needs.
	Scores bool `json:"scores"`
	// MaxSamples is the most samples of a prompt that one request may ask for; 0 is no bound, 1 where n is ignored.
	MaxSamples int `json:"max_samples"`
	// Seeds tells whether a request's seed decides its samples.
	Seeds bool `json:"seeds"`
	// DevMode tells whether pause, reload and the like are reachable.
	DevMode bool `json:"dev_mode"`
	// Paused tells whether generation is paused; false without DevMode.
	Paused bool `json:"paused"`
	// WeightVersion is the server's tag of its weights; "" if it has none.
	WeightVersion string `json:"weight_version"`
	// Loads are the ways in which it takes new weights, best first, by their
	// names as --sync has them; none if it takes none.
	Loads []string `json:"loads"`
}

// CannotError says that a server is reachable but lacks what a run needs.
type CannotError struct {
	URL  string
	What string
	Hint string
}

func (e *CannotError) Error() string { return fmt.Sprintf("%s: %s; %s", e.URL, e.What, e.Hint) }
