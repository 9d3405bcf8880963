package llamatest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/justrl/justrl/sampler/localserver"
	"github.com/justrl/justrl/sampler/openaitest"
)

// request is what is imitated of a body; the sampler's other fields must be off.
type request struct {
	Prompt      []int32      `json:"prompt"`
	NPredict    int          `json:"n_predict"`
	Seed        int64        `json:"seed"`
	Temperature float64      `json:"temperature"`
	Samplers    []string     `json:"samplers"`
	TopK        int          `json:"top_k"`
	TopP        float64      `json:"top_p"`
	MinP        float64      `json:"min_p"`
	NProbs      int          `json:"n_probs"`
	LogitBias   [][2]float64 `json:"logit_bias"`
	IgnoreEOS   bool         `json:"ignore_eos"`

	RepeatPenalty float64 `json:"repeat_penalty"` // 1 is off
	TypicalP      float64 `json:"typical_p"`      // 1 is off
	PostSampling  bool    `json:"post_sampling_probs"`
	ReturnTokens  bool    `json:"return_tokens"`
}

func (s *Server) answer(ctx context.Context, body []byte) (map[string]any, error) {
	req := request{NPredict: -1, Seed: -1, Temperature: 0.8, TopK: 40, TopP: 0.95, MinP: 0.05, RepeatPenalty: 1, TypicalP: 1}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&req); err != nil {
		return nil, err
	}
	m := s.engine.Model()
	switch {
	case len(req.Prompt) >= m.MaxLen:
		return nil, tooLong(len(req.Prompt), m.MaxLen)
	case req.Seed < 0 || req.Seed > 1<<32-1 || req.NPredict < 1:
		return nil, errors.New("the fake needs a seed and n_predict")
	case req.RepeatPenalty != 1 || req.TypicalP != 1 || req.Samplers == nil:
		return nil, errors.New("the fake has no such samplers: they must be off")
	}
	for _, id := range req.Prompt {
		if id < 0 || int(id) >= m.Vocab {
			return nil, errors.New("prompt contains invalid tokens")
		}
	}
	sample, err := s.sample(ctx, req)
	if err != nil {
		return nil, err
	}
	ids, probs := []int32{}, []any{}
	for _, t := range sample.Tokens {
		ids = append(ids, t.ID)
		if s.isTorn(t.ID) {
			continue
		}
		piece := openaitest.Decode([]int32{t.ID})
		top := []any{}
		for _, c := range t.Top {
			top = append(top, map[string]any{"id": c.ID, "token": "", "bytes": []byte{}, "logprob": c.Logprob})
		}
		probs = append(probs, map[string]any{
			"id": t.ID, "token": piece, "bytes": []byte(piece), "logprob": t.Logprob, "top_logprobs": top,
		})
	}
	text := ids
	stop := "limit"
	if sample.Finish == "stop" {
		stop, text = "eos", ids[:len(ids)-1]
	}
	answer := map[string]any{
		"content": openaitest.Decode(text), "stop_type": stop, "tokens_evaluated": len(req.Prompt),
		"truncated": stop == "limit" && len(ids) < req.NPredict, "tokens": []int32{},
	}
	if req.ReturnTokens {
		answer["tokens"] = ids
	}
	if req.NProbs > 0 {
		answer["completion_probabilities"] = probs
	}
	return answer, nil
}

func (s *Server) isTorn(id int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.torn != nil && s.torn(id)
}

// sample draws, or gives the token that a bias forces.
func (s *Server) sample(ctx context.Context, req request) (localserver.Sample, error) {
	if len(req.LogitBias) > 0 {
		bias := req.LogitBias[0]
		if bias[1] < 1e5 || req.NPredict != 1 || len(req.LogitBias) > 1 {
			return localserver.Sample{}, errors.New("the fake knows a bias only as a certainty, of one token")
		}
		scored, err := s.engine.Score(ctx, append(req.Prompt, int32(bias[0])), min(req.NProbs, s.engine.Model().Vocab))
		if err != nil {
			return localserver.Sample{}, err
		}
		return localserver.Sample{Tokens: scored[len(scored)-1:], Finish: "length", StopToken: -1}, nil
	}
	topK := req.TopK
	if topK == 0 {
		topK = -1
	}
	samples, err := s.engine.Generate(ctx, localserver.Request{
		Prompt: req.Prompt, N: 1, Seed: req.Seed, Temperature: req.Temperature, TopP: req.TopP, TopK: topK, MinP: req.MinP,
		MaxTokens: min(req.NPredict, s.engine.Model().MaxLen-len(req.Prompt)), IgnoreEOS: req.IgnoreEOS, RepetitionPenalty: 1,
	})
	if err != nil {
		return localserver.Sample{}, err
	}
	return samples[0], nil
}
