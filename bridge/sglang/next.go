package sglang

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"

	"github.com/justrl/justrl/internal/endpoint"
)

// Next implements bridge.CacheProber: a greedy answer of one token, on the same
// path and through the same cache as rollouts. SGLang's log-prob of a greedy
// token is raw.
func (p *Publisher) Next(ctx context.Context, prompt []int32) (int32, float32, error) {
	var reply []struct {
		OutputIDs []int32 `json:"output_ids"`
		MetaInfo  struct {
			OutputLogprobs [][]*float64 `json:"output_token_logprobs"` // [log-prob, id, null]
		} `json:"meta_info"`
	}
	err := p.do(ctx, http.MethodPost, "/generate", map[string]any{
		"input_ids": [][]int32{prompt},
		"sampling_params": []any{map[string]any{
			"n": 1, "max_new_tokens": 1, "temperature": 0, "top_p": 1, "top_k": -1, "min_p": 0,
			"repetition_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0,
		}},
		"return_logprob": true, "logprob_start_len": -1, "return_text_in_logprobs": false,
	}, &reply)
	if err != nil {
		return 0, 0, err
	}
	bad := func(why string) (int32, float32, error) {
		return 0, 0, &endpoint.ReplyError{Method: http.MethodPost, URL: p.e.URL() + "/generate", Err: errors.New(why)}
	}
	if len(reply) != 1 || len(reply[0].MetaInfo.OutputLogprobs) != 1 {
		return bad("not one answer of one token, as was asked for")
	}
	entry := reply[0].MetaInfo.OutputLogprobs[0]
	if len(entry) < 2 || entry[0] == nil || entry[1] == nil {
		return bad("no log-prob of the token")
	}
	lp, id := *entry[0], *entry[1]
	if math.IsNaN(lp) || math.IsInf(lp, 0) || lp > 1e-3 {
		return bad(fmt.Sprintf("a log-prob of %v", lp))
	}
	if id < 0 || id > math.MaxInt32 || id != math.Trunc(id) || len(reply[0].OutputIDs) == 1 && float64(reply[0].OutputIDs[0]) != id {
		return bad(fmt.Sprintf("token %v beside output_ids %v", id, reply[0].OutputIDs))
	}
	return int32(id), float32(lp), nil
}
