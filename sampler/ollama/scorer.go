package ollama

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/ollama/ollama/api"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// Unknown stands for a log-prob that the server does not tell: the greatest float32, which
// none can be. bridge.Unknown is the same.
const Unknown float32 = math.MaxFloat32

const (
	// DefaultPositions is how many tokens at the end of a sequence a [Scorer] asks about.
	DefaultPositions = 48
	top              = 20 // log-probs of a position, the most that Ollama gives
	scoreTries       = 4  // of a position at which the end token was sampled, which has no log-probs
)

// Scorer gives an Ollama server's own log-probs of fixed sequences, as far as it tells
// them. Ollama scores no prompt, but gives the log-probs of the 20 likeliest next
// tokens: each position is asked about with a request of its own for one token, and is
// [Unknown] where the sequence's token is not among those 20, or cannot be told from
// another by its text. It satisfies bridge.Scorer where Unknown is understood.
//
// A runner of Ollama has one set of weights and ends with it, so that the prefix cache
// that later positions are computed through holds nothing of older weights. The requests
// go one after the other: on a server that nobody else uses, the result depends on the
// weights and on what its slot computed before, within rounding.
type Scorer struct {
	g         *Generator
	positions int
}

// NewScorer makes a Scorer; it sends nothing. positions is how many tokens at the end
// of each sequence are asked about, the others are [Unknown]; 0 is 48.
func NewScorer(e *endpoint.Endpoint, o Options, positions int) (*Scorer, error) {
	g, err := New(e, o)
	if err != nil {
		return nil, err
	}
	if positions < 0 {
		return nil, fmt.Errorf("ollama: %d positions", positions)
	}
	if positions == 0 {
		positions = DefaultPositions
	}
	return &Scorer{g, positions}, nil
}

// Score returns, for each sequence of T ≥ 2 tokens, T-1 natural log-probs at temperature
// 1: entry t is that of token t+1 given tokens 0…t, or [Unknown]. It fails where it
// learned nothing at all.
func (s *Scorer) Score(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	out := make([][]float32, len(seqs))
	known := 0
	for i, ids := range seqs {
		if len(ids) < 2 {
			return nil, fmt.Errorf("ollama: score sequence %d: %d tokens, needs two", i, len(ids))
		}
		out[i] = make([]float32, len(ids)-1)
		for t := range out[i] {
			out[i][t] = Unknown
			if t < len(out[i])-s.positions {
				continue
			}
			x, err := s.next(ctx, ids[:t+1], ids[t+1])
			if err != nil {
				return nil, fmt.Errorf("ollama: score token %d of sequence %d: %w", t+1, i, err)
			}
			if x != Unknown {
				known++
			}
			out[i][t] = x
		}
	}
	if known == 0 && len(seqs) > 0 {
		return nil, fmt.Errorf("ollama: score: none of the sequences' tokens is among the %d likeliest of %s: does it serve the run's model?", top, s.g.o.Model)
	}
	return out, nil
}

// next is the log-prob of want after prefix.
func (s *Scorer) next(ctx context.Context, prefix []int32, want int32) (float32, error) {
	text, err := s.g.prompt(prefix)
	if err != nil {
		return Unknown, nil //nolint:nilerr // a prefix that text does not say is one of the positions that cannot be asked about
	}
	r := sampler.Request{PromptTokenIDs: prefix, Params: sampler.Params{N: 1, TopP: 1, TopK: -1, MaxTokens: 1}, Count: 1}
	for try := range scoreTries {
		if try > 0 { // not greedy: the log-probs are raw, whatever is sampled
			r.Params.Temperature = 4
		}
		reply, err := s.g.answerTop(ctx, r, text, seed(0, try), top)
		if err != nil {
			return 0, err
		}
		if len(reply.Logprobs) == 0 {
			continue
		}
		return s.find(reply.Logprobs[0].TopLogprobs, want)
	}
	return Unknown, nil
}

// find is want's log-prob in a list of a position's.
func (s *Scorer) find(list []api.TokenLogprob, want int32) (float32, error) {
	i := slices.IndexFunc(list, func(l api.TokenLogprob) bool {
		id, known := s.g.pieces[l.Token]
		return known && id == want
	})
	if i < 0 {
		return Unknown, nil
	}
	x := list[i].Logprob
	if !sampler.PossibleLogprob(x) {
		return 0, s.g.c.badReply(generatePath, fmt.Errorf("a log-prob of %v, which no token can have", x))
	}
	return float32(min(x, 0)), nil
}
