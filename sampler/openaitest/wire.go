package openaitest

import (
	"net/http"

	"github.com/goccy/go-json"
)

// writeJSON answers 200 with v as vLLM writes it: compact, not HTML-escaped.
func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.MarshalWithOption(v, json.DisableHTMLEscape())
	if err != nil {
		writeError(w, http.StatusBadRequest, "BadRequestError", "", "Out of range float values are not JSON compliant")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}

// writeError answers in vLLM's error shape. param "" is null.
func writeError(w http.ResponseWriter, status int, typ, param, message string) {
	type body struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    int     `json:"code"`
	}
	e := body{Message: message, Type: typ, Code: status}
	if param != "" {
		e.Param = &param
	}
	b, _ := json.MarshalWithOption(map[string]body{"error": e}, json.DisableHTMLEscape()) // strings and an int
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// writeDetail answers as the web framework under vLLM does.
func writeDetail(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"detail":"` + http.StatusText(status) + `"}`))
}

// refusal is an error reply that a handler decided on.
type refusal struct {
	status     int
	typ, param string
	message    string
}

func badRequest(param, message string) *refusal {
	return &refusal{http.StatusBadRequest, "BadRequestError", param, message}
}

func (r *refusal) write(w http.ResponseWriter) { writeError(w, r.status, r.typ, r.param, r.message) }

type completionReply struct {
	ID                string   `json:"id"`
	Object            string   `json:"object"`
	Created           int64    `json:"created"`
	Model             string   `json:"model"`
	Choices           []choice `json:"choices"`
	ServiceTier       *string  `json:"service_tier"`
	SystemFingerprint string   `json:"system_fingerprint"`
	Usage             usage    `json:"usage"`
	KVTransferParams  *string  `json:"kv_transfer_params"`
	ECTransferParams  *string  `json:"ec_transfer_params"`
	Metrics           *string  `json:"metrics"`
}

type choice struct {
	Index          int                   `json:"index"`
	Text           string                `json:"text"`
	Logprobs       *tokenLogprobs        `json:"logprobs"`
	FinishReason   string                `json:"finish_reason"`
	StopReason     any                   `json:"stop_reason"`
	TokenIDs       []int32               `json:"token_ids"`
	PromptLogprobs []map[string]position `json:"prompt_logprobs"`
	PromptTokenIDs []int32               `json:"prompt_token_ids"`
	RoutedExperts  *string               `json:"routed_experts"`
}

type tokenLogprobs struct {
	TextOffset    []int                `json:"text_offset"`
	TokenLogprobs []float64            `json:"token_logprobs"`
	Tokens        []string             `json:"tokens"`
	TopLogprobs   []map[string]float64 `json:"top_logprobs"`
}

type position struct {
	Logprob      float64 `json:"logprob"`
	Rank         int     `json:"rank"`
	DecodedToken string  `json:"decoded_token"`
}

type usage struct {
	PromptTokens            int     `json:"prompt_tokens"`
	TotalTokens             int     `json:"total_tokens"`
	CompletionTokens        int     `json:"completion_tokens"`
	PromptTokensDetails     *string `json:"prompt_tokens_details"`
	CompletionTokensDetails *string `json:"completion_tokens_details"`
}

type chatReply struct {
	ID                string       `json:"id"`
	Object            string       `json:"object"`
	Created           int64        `json:"created"`
	Model             string       `json:"model"`
	Choices           []chatChoice `json:"choices"`
	ServiceTier       *string      `json:"service_tier"`
	SystemFingerprint string       `json:"system_fingerprint"`
	Usage             usage        `json:"usage"`
	PromptLogprobs    *string      `json:"prompt_logprobs"`
	PromptTokenIDs    []int32      `json:"prompt_token_ids"`
	PromptText        *string      `json:"prompt_text"`
	KVTransferParams  *string      `json:"kv_transfer_params"`
	ECTransferParams  *string      `json:"ec_transfer_params"`
	Metrics           *string      `json:"metrics"`
}

type chatChoice struct {
	Index         int         `json:"index"`
	Message       chatMessage `json:"message"`
	Logprobs      *string     `json:"logprobs"` // the fake gives none
	FinishReason  string      `json:"finish_reason"`
	StopReason    any         `json:"stop_reason"`
	TokenIDs      []int32     `json:"token_ids"`
	RoutedExperts *string     `json:"routed_experts"`
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
