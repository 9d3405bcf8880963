package sglangtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/goccy/go-json"

	"github.com/justrl/justrl/sampler/localserver"
	"github.com/justrl/justrl/sampler/openaitest"
)

// request is GenerateReqInput, as far as it is imitated: a list of prompts.
type request struct {
	InputIDs        [][]int32 `json:"input_ids"`
	SamplingParams  []params  `json:"sampling_params"`
	ReturnLogprob   bool      `json:"return_logprob"`
	LogprobStartLen int       `json:"logprob_start_len"`
	Stream          bool      `json:"stream"`
}

// params is SamplingParams with its defaults.
type params struct {
	N                 int                `json:"n"`
	Temperature       float64            `json:"temperature"`
	TopP              float64            `json:"top_p"`
	TopK              int                `json:"top_k"`
	MinP              float64            `json:"min_p"`
	MaxNewTokens      int                `json:"max_new_tokens"`
	MinNewTokens      int                `json:"min_new_tokens"`
	StopTokenIDs      []int32            `json:"stop_token_ids"`
	IgnoreEOS         bool               `json:"ignore_eos"`
	RepetitionPenalty float64            `json:"repetition_penalty"`
	PresencePenalty   float64            `json:"presence_penalty"`
	FrequencyPenalty  float64            `json:"frequency_penalty"`
	SkipSpecialTokens bool               `json:"skip_special_tokens"`
	NoStopTrim        bool               `json:"no_stop_trim"`
	SamplingSeed      *int64             `json:"sampling_seed"`
	LogitBias         map[string]float64 `json:"logit_bias"`
}

func (s *Server) generate(w http.ResponseWriter, r *http.Request) {
	var req request
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields() // stricter than SGLang: a misspelt field shall fail a test
	var top struct {
		request
		TopLogprobsNum int  `json:"top_logprobs_num"`
		ReturnText     bool `json:"return_text_in_logprobs"`
	}
	if err := d.Decode(&top); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	req = top.request
	if refusal := s.verify(req); refusal != "" {
		refuse(w, http.StatusBadRequest, refusal)
		return
	}
	answers := make([]any, len(req.InputIDs))
	errs := make([]error, len(req.InputIDs))
	var all sync.WaitGroup
	for i := range req.InputIDs {
		all.Go(func() { answers[i], errs[i] = s.one(r.Context(), req, i) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	reply(w, http.StatusOK, answers)
}

// verify is SamplingParams.verify and the tokenizer manager's check of lengths, in their words; "" if nothing is wrong.
func (s *Server) verify(req request) (refusal string) {
	m := s.engine.Model()
	if len(req.InputIDs) == 0 || len(req.InputIDs) != len(req.SamplingParams) {
		return "input_ids cannot be empty."
	}
	for i, p := range req.SamplingParams {
		prompt := req.InputIDs[i]
		switch {
		case p.N != 1:
			return "the fake samples one answer a prompt"
		case p.Temperature < 0:
			return fmt.Sprintf("temperature must be a non-negative finite number, got %v.", p.Temperature)
		case p.TopP <= 0 || p.TopP > 1:
			return fmt.Sprintf("top_p must be in (0, 1], got %v.", p.TopP)
		case p.TopK < 1 && p.TopK != -1:
			return fmt.Sprintf("top_k must be -1 (disable) or at least 1, got %d.", p.TopK)
		case p.MaxNewTokens < 0:
			return fmt.Sprintf("max_new_tokens must be at least 0, got %d.", p.MaxNewTokens)
		case len(prompt) >= m.MaxLen && p.MaxNewTokens > 0 || len(prompt) > m.MaxLen:
			return fmt.Sprintf("The input (%d tokens) is longer than the model's context length (%d tokens).", len(prompt), m.MaxLen)
		case len(prompt)+p.MaxNewTokens > m.MaxLen:
			return fmt.Sprintf("Requested token count exceeds the model's maximum context length of %d tokens. You requested a total of %d tokens: %d tokens from the input messages and %d tokens for the completion.",
				m.MaxLen, len(prompt)+p.MaxNewTokens, len(prompt), p.MaxNewTokens)
		}
		for id := range p.LogitBias {
			return fmt.Sprintf("logit_bias must has keys in [0, %d], got %s.", m.Vocab-1, id)
		}
		for _, id := range prompt {
			if id < 0 || int(id) >= m.Vocab {
				return fmt.Sprintf("The input_ids contain values greater than the vocab size (%d).", m.Vocab)
			}
		}
	}
	return ""
}

// one is the answer to prompt i.
func (s *Server) one(ctx context.Context, req request, i int) (any, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	prompt, p := req.InputIDs[i], req.SamplingParams[i]
	var key int
	var seed int64
	if err := s.mu.Until(ctx, func() bool {
		if s.paused {
			return false
		}
		key, s.next = s.next, s.next+1
		s.running[key] = cancel
		s.mu.Wake()
		switch {
		case s.o.Unseeded:
			s.unseeded++
			seed = s.unseeded
		case p.SamplingSeed != nil:
			seed = *p.SamplingSeed
		default:
			seed = 42
		}
		return true
	}); err != nil {
		return nil, err
	}
	defer s.mu.Change(func() { delete(s.running, key) })

	meta := map[string]any{"id": fmt.Sprintf("%032x", key), "prompt_tokens": len(prompt), "cached_tokens": 0, "e2e_latency": 0.01}
	if req.ReturnLogprob && req.LogprobStartLen >= 0 {
		scores, err := s.engine.Score(ctx, prompt, 0)
		if err != nil {
			return nil, err
		}
		given := []any{[]any{nil, prompt[0], nil}}
		for _, t := range scores {
			given = append(given, []any{t.Logprob, t.ID, nil})
		}
		meta["input_token_logprobs"] = given[req.LogprobStartLen:]
	}
	var sample localserver.Sample
	if p.MaxNewTokens > 0 {
		samples, err := s.engine.Generate(ctx, localserver.Request{
			Prompt: prompt, N: 1, Seed: seed, Temperature: p.Temperature, TopP: p.TopP, TopK: p.TopK, MinP: p.MinP,
			MaxTokens: p.MaxNewTokens, MinTokens: p.MinNewTokens, StopTokenIDs: p.StopTokenIDs, IgnoreEOS: p.IgnoreEOS,
			RepetitionPenalty: p.RepetitionPenalty, PresencePenalty: p.PresencePenalty, FrequencyPenalty: p.FrequencyPenalty,
			Fresh: req.ReturnLogprob && req.LogprobStartLen >= 0,
		})
		if err != nil {
			return nil, err
		}
		sample = samples[0]
	} else {
		sample.Finish = "length"
	}
	ids, given := []int32{}, []any{}
	for _, t := range sample.Tokens {
		ids = append(ids, t.ID)
		given = append(given, []any{t.Logprob, t.ID, nil})
	}
	if req.ReturnLogprob {
		meta["output_token_logprobs"] = given
	}
	switch sample.Finish {
	case "stop":
		meta["finish_reason"] = map[string]any{"type": "stop", "matched": ids[len(ids)-1]}
	case "abort":
		meta["finish_reason"] = map[string]any{"type": "abort", "message": "Unknown error", "status_code": nil, "err_type": nil}
	default:
		meta["finish_reason"] = map[string]any{"type": "length", "length": len(ids)}
	}
	meta["completion_tokens"] = len(ids)
	s.mu.Lock()
	meta["weight_version"] = s.tag
	s.mu.Unlock()
	return map[string]any{"text": s.text(ids), "output_ids": ids, "meta_info": meta}, nil
}

func (s *Server) text(ids []int32) string {
	decode := s.o.Policy.Decode
	if decode == nil {
		decode = openaitest.Decode
	}
	var kept []int32
	for _, id := range ids {
		if id != s.engine.Model().EOS[0] {
			kept = append(kept, id)
		}
	}
	return strings.ToValidUTF8(decode(kept), "�")
}
