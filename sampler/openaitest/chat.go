package openaitest

import (
	"net/http"
)

// chat serves /v1/chat/completions with the same policy: the prompt is the
// messages in ChatML, one token a byte.
func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	var req struct {
		completionRequest
		Messages []struct {
			Role    string `json:"role"`
			Content string `json:"content"`
		} `json:"messages"`
	}
	if !readJSON(w, r, &req) {
		return
	}
	o := s.options()
	bad := checkModel(o, req.Model)
	if bad == nil && len(req.Messages) == 0 {
		bad = badRequest("", "Cannot apply chat template to an empty conversation. Provide at least one message.")
	}
	prompt := []int32{}
	for _, m := range req.Messages {
		prompt = append(prompt, 1)
		prompt = append(prompt, o.Encode(m.Role+"\n"+m.Content)...)
		prompt = append(append(prompt, 2), o.Encode("\n")...)
	}
	prompt = append(append(prompt, 1), o.Encode("assistant\n")...)
	prompt = prompt[:min(len(prompt), o.MaxModelLen+1)] // vLLM stops counting there
	if bad == nil {
		bad = checkParams(o, req.completionRequest, len(prompt))
	}
	if bad != nil {
		bad.write(w)
		return
	}
	ticket, err := s.gate.enter(r.Context())
	if err != nil {
		return
	}
	defer s.gate.leave()

	reply := chatReply{
		ID: s.id("chatcmpl-"), Object: "chat.completion", Created: 1795438967, Model: o.Model,
		SystemFingerprint: "vllm-" + o.Version + "-fake",
	}
	for j := range orDefault(req.N, 1) {
		c, err := s.choice(r.Context(), o, req.completionRequest, prompt, j, ticket)
		if err != nil {
			return
		}
		reply.Choices = append(reply.Choices, chatChoice{
			Index: j, Message: chatMessage{Role: "assistant", Content: c.Text}, FinishReason: c.FinishReason, StopReason: c.StopReason,
		})
		reply.Usage.CompletionTokens += len(c.TokenIDs)
	}
	reply.Usage.PromptTokens = len(prompt)
	reply.Usage.TotalTokens = len(prompt) + reply.Usage.CompletionTokens
	writeJSON(w, reply)
}
