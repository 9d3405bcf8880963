package bridgetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Scorer is a bridge.Scorer over a vLLM's prompt log-probs, with nothing but
// what tests need.
type Scorer struct {
	URL   string
	Model string // served name
}

// Score implements bridge.Scorer.
func (s Scorer) Score(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	out := make([][]float32, len(seqs))
	for i, ids := range seqs {
		var err error
		if out[i], err = s.score(ctx, ids); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s Scorer) score(ctx context.Context, ids []int32) (out []float32, err error) {
	body, err := json.Marshal(map[string]any{"model": s.Model, "prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/v1/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s %w", resp.Status, b, err)
	}
	var reply struct {
		Choices []struct {
			PromptLogprobs []map[string]struct{ Logprob float32 } `json:"prompt_logprobs"`
		}
	}
	if err := json.Unmarshal(b, &reply); err != nil {
		return nil, err
	}
	for t, id := range ids[1:] {
		out = append(out, reply.Choices[0].PromptLogprobs[t+1][strconv.Itoa(int(id))].Logprob)
	}
	return out, nil
}
