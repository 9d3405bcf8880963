package localserver

type completionReply struct {
	ID                string             `json:"id"`
	Object            string             `json:"object"`
	Created           int64              `json:"created"`
	Model             string             `json:"model"`
	Choices           []completionChoice `json:"choices"`
	ServiceTier       *string            `json:"service_tier"`
	SystemFingerprint string             `json:"system_fingerprint"`
	Usage             usage              `json:"usage"`
	KVTransferParams  *string            `json:"kv_transfer_params"`
	ECTransferParams  *string            `json:"ec_transfer_params"`
	Metrics           *string            `json:"metrics"`
}

type completionChoice struct {
	Index          int                 `json:"index"`
	Text           string              `json:"text"`
	Logprobs       *completionLogprobs `json:"logprobs"`
	FinishReason   string              `json:"finish_reason"`
	StopReason     any                 `json:"stop_reason"`
	TokenIDs       []int32             `json:"token_ids"`
	PromptLogprobs []*pairs[position]  `json:"prompt_logprobs"`
	PromptTokenIDs []int32             `json:"prompt_token_ids"`
	RoutedExperts  *string             `json:"routed_experts"`
}

type usage struct {
	PromptTokens            int     `json:"prompt_tokens"`
	TotalTokens             int     `json:"total_tokens"`
	CompletionTokens        int     `json:"completion_tokens"`
	PromptTokensDetails     *string `json:"prompt_tokens_details"`
	CompletionTokensDetails *string `json:"completion_tokens_details"`
}

// shortUsage is how streams write usage.
type shortUsage struct {
	PromptTokens     int `json:"prompt_tokens"`
	TotalTokens      int `json:"total_tokens"`
	CompletionTokens int `json:"completion_tokens"`
}

// chatUsage is how the events of a chat's stream write it.
type chatUsage struct {
	shortUsage
	CompletionTokensDetails *string `json:"completion_tokens_details"`
}

type chatReply struct {
	ID                string             `json:"id"`
	Object            string             `json:"object"`
	Created           int64              `json:"created"`
	Model             string             `json:"model"`
	Choices           []chatChoice       `json:"choices"`
	ServiceTier       *string            `json:"service_tier"`
	SystemFingerprint string             `json:"system_fingerprint"`
	Usage             usage              `json:"usage"`
	PromptLogprobs    []*pairs[position] `json:"prompt_logprobs"`
	PromptTokenIDs    []int32            `json:"prompt_token_ids"`
	PromptText        *string            `json:"prompt_text"`
	KVTransferParams  *string            `json:"kv_transfer_params"`
	ECTransferParams  *string            `json:"ec_transfer_params"`
	Metrics           *string            `json:"metrics"`
}

type chatChoice struct {
	Index         int           `json:"index"`
	Message       chatMessage   `json:"message"`
	Logprobs      *chatLogprobs `json:"logprobs"`
	FinishReason  string        `json:"finish_reason"`
	StopReason    any           `json:"stop_reason"`
	TokenIDs      []int32       `json:"token_ids"`
	RoutedExperts *string       `json:"routed_experts"`
}

type chatMessage struct {
	Role         string  `json:"role"`
	Content      string  `json:"content"`
	Refusal      *string `json:"refusal"`
	Annotations  *string `json:"annotations"`
	Audio        *string `json:"audio"`
	FunctionCall *string `json:"function_call"`
	Reasoning    *string `json:"reasoning"`
}

// streamed is an event of either stream.
type streamed struct {
	ID                string `json:"id"`
	Object            string `json:"object"`
	Created           int64  `json:"created"`
	Model             string `json:"model"`
	Choices           []any  `json:"choices"`
	Usage             any    `json:"usage,omitempty"`
	SystemFingerprint string `json:"system_fingerprint,omitempty"`
}

// chatOpening is the first event of each sample of a chat.
type chatOpening struct {
	streamed
	PromptTokenIDs []int32 `json:"prompt_token_ids"`
	PromptText     *string `json:"prompt_text"`
}

type completionPiece struct {
	Index          int                 `json:"index"`
	Text           string              `json:"text"`
	Logprobs       *completionLogprobs `json:"logprobs"`
	FinishReason   *string             `json:"finish_reason"`
	StopReason     any                 `json:"stop_reason"`
	PromptTokenIDs []int32             `json:"prompt_token_ids"`
	TokenIDs       []int32             `json:"token_ids"`
}

type chatRole struct {
	Index        int           `json:"index"`
	Delta        roleDelta     `json:"delta"`
	Logprobs     *chatLogprobs `json:"logprobs"`
	FinishReason *string       `json:"finish_reason"`
}

type roleDelta struct {
	Role    string `json:"role,omitempty"`
	Content string `json:"content"`
}

type chatPiece struct {
	chatRole
	TokenIDs []int32 `json:"token_ids"`
}

type chatEnd struct {
	chatRole
	StopReason any     `json:"stop_reason"`
	TokenIDs   []int32 `json:"token_ids"`
}

// idsOf are the ids of tokens; never nil.
func idsOf(tokens []Token) []int32 {
	ids := make([]int32, len(tokens))
	for i, t := range tokens {
		ids[i] = t.ID
	}
	return ids
}

// orNull is s, or null for "".
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// count is the usage of results.
func count(prompts []prompt, results []result) usage {
	var u usage
	for i, p := range prompts {
		u.PromptTokens += len(p.ids)
		for _, a := range results[i].samples {
			u.CompletionTokens += len(a.tokens)
		}
	}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	return u
}

func (u usage) short() shortUsage {
	return shortUsage{u.PromptTokens, u.TotalTokens, u.CompletionTokens}
}
