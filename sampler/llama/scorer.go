package llama

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// Scorer gives a llama-server's own log-probs of fixed sequences, computed
// afresh. It satisfies bridge.Scorer.
//
// llama-server has no log-probs of a prompt. So every token is sampled, in a
// request of its own, with a bias that nothing else can beat: the log-probs that
// are reported are of the model's logits before any bias or sampler. The first
// request of a sequence forgets what the server has cached, the later ones go on
// from its own tokens (new weights need a new process, so that no cache outlives
// them). Sequences come one after the other, so that each is alone in its batch
// as long as nobody else uses the server.
type Scorer struct{ g *Generator }

// NewScorer makes a Scorer; it sends nothing. o.Parallel has no meaning here.
func NewScorer(e *endpoint.Endpoint, o Options) (*Scorer, error) {
	g, err := New(e, o)
	if err != nil {
		return nil, err
	}
	return &Scorer{g: g}, nil
}

// Score returns, for each sequence of T ≥ 2 tokens, T-1 natural log-probs at
// temperature 1: entry t is that of token t+1 given tokens 0…t. A sequence must
// be at least one token shorter than the server's context.
func (s *Scorer) Score(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	out, err := sampler.ScoreEach(ctx, seqs, s.g.o.Vocab, s.score)
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	return out, nil
}

func (s *Scorer) score(ctx context.Context, ids []int32) ([]float32, error) {
	out := make([]float32, len(ids)-1)
	for t := range out {
		err := s.g.o.Retry.Do(ctx, func(ctx context.Context) (err error) {
			out[t], err = s.next(ctx, ids[:t+1], ids[t+1])
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("token %d: %w", t+1, err)
		}
	}
	return out, nil
}

// next is the log-prob of id after a prefix.
func (s *Scorer) next(ctx context.Context, prefix []int32, id int32) (float32, error) {
	var reply completionReply
	if err := post(ctx, s.g.e, completionPath, forced(prefix, id), &reply); err != nil {
		return 0, err
	}
	if len(reply.Tokens) != 1 || reply.Tokens[0] != id {
		return 0, s.g.bad(fmt.Errorf("tokens %v, forced to be %d", reply.Tokens, id))
	}
	out, err := sampledLogprobs(&reply)
	switch {
	case err != nil:
		return 0, s.g.bad(err)
	case isNaN(out[0]): // it ends within a character
		return s.beside(ctx, prefix, id)
	}
	return out[0], nil
}

// beside is the log-prob of id after a prefix, found among those of the whole
// vocabulary (megabytes) beside a token that is forced because its text is whole.
func (s *Scorer) beside(ctx context.Context, prefix []int32, id int32) (float32, error) {
	var whole struct {
		Tokens []int32 `json:"tokens"`
	}
	if err := post(ctx, s.g.e, "/tokenize", map[string]string{"content": "a"}, &whole); err != nil {
		return 0, err
	}
	if len(whole.Tokens) == 0 {
		return 0, &endpoint.ReplyError{Method: http.MethodPost, URL: s.g.e.URL() + "/tokenize", Err: errors.New(`no tokens of "a"`)}
	}
	req := forced(prefix, whole.Tokens[len(whole.Tokens)-1])
	req.NProbs = math.MaxInt32
	var reply struct {
		Probabilities []struct {
			Top []tokenProbs `json:"top_logprobs"`
		} `json:"completion_probabilities"`
	}
	if err := post(ctx, s.g.e, completionPath, req, &reply); err != nil {
		return 0, err
	}
	if len(reply.Probabilities) == 1 {
		for _, t := range reply.Probabilities[0].Top {
			if t.ID == id && sampler.PossibleLogprob(t.Logprob) {
				return float32(t.Logprob), nil
			}
		}
	}
	return 0, s.g.bad(fmt.Errorf("no log-prob of token %d in %d completion_probabilities", id, len(reply.Probabilities)))
}

// forced is a request for one token, which it is.
func forced(prefix []int32, id int32) completion {
	const certain = 1e6 // no two logits lie so far apart
	req := plain(prefix, 1)
	req.Temperature, req.NProbs, req.LogitBias = 0, 1, []any{[]any{id, certain}}
	req.CachePrompt = len(prefix) > 1
	return req
}
