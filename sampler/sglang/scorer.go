package sglang

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// Scorer gives an SGLang server's own log-probs of fixed sequences, computed
// afresh. It satisfies bridge.Scorer.
//
// Each sequence is a request of its own, one after the other, so that it is
// alone in its batch as long as nobody else uses the server. SGLang reads no
// prefix cache for positions whose log-probs are asked for, which here are all.
type Scorer struct{ g *Generator }

// NewScorer makes a Scorer; it sends nothing. o.MaxSamples, Seeds and Tag have no meaning here.
func NewScorer(e *endpoint.Endpoint, o Options) (*Scorer, error) {
	g, err := New(e, o)
	if err != nil {
		return nil, err
	}
	return &Scorer{g: g}, nil
}

// Score returns, for each sequence of T ≥ 2 tokens, T-1 natural log-probs at
// temperature 1: entry t is that of token t+1 given tokens 0…t. Nothing is generated.
func (s *Scorer) Score(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	out, err := sampler.ScoreEach(ctx, seqs, s.g.o.Vocab, func(ctx context.Context, ids []int32) (logprobs []float32, err error) {
		err = s.g.o.Retry.Do(ctx, func(ctx context.Context) error {
			logprobs, err = s.score(ctx, ids)
			return err
		})
		return logprobs, err
	})
	if err != nil {
		return nil, fmt.Errorf("sglang: %w", err)
	}
	return out, nil
}

func (s *Scorer) score(ctx context.Context, ids []int32) ([]float32, error) {
	params := plain(0)
	params.Temperature = 1
	req := generate{InputIDs: [][]int32{ids}, SamplingParams: []samplingParams{params}, ReturnLogprob: true}
	var reply []answer
	if err := s.g.e.Do(ctx, http.MethodPost, generatePath, req, &reply); err != nil {
		return nil, err
	}
	out, err := promptLogprobs(ids, reply)
	if err != nil {
		return nil, &endpoint.ReplyError{Method: http.MethodPost, URL: s.g.e.URL() + generatePath, Err: err}
	}
	return out, nil
}

func promptLogprobs(ids []int32, reply []answer) ([]float32, error) {
	if len(reply) != 1 {
		return nil, fmt.Errorf("%d answers, asked for 1", len(reply))
	}
	m := &reply[0].MetaInfo
	if f := m.FinishReason; f != nil && f.Type == "abort" {
		return nil, fmt.Errorf("aborted: %s", f.Message)
	}
	l := &m.InputLogprobs
	if len(l.IDs) == 0 {
		return nil, errors.New("no input_token_logprobs")
	}
	if len(l.IDs) != len(ids) {
		return nil, fmt.Errorf("input_token_logprobs of %d positions for %d tokens", len(l.IDs), len(ids))
	}
	for t, id := range l.IDs {
		if id != ids[t] {
			return nil, fmt.Errorf("input_token_logprobs[%d] is of token %d, sent %d", t, id, ids[t])
		}
		if x := l.Logprobs[t]; t > 0 && !sampler.PossibleLogprob(x) {
			return nil, fmt.Errorf("input_token_logprobs[%d] is %v, which no token can have", t, x)
		}
	}
	return l.Logprobs[1:], nil
}
