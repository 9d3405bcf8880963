package engine

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
)

// The ways in which a sample ends.
const (
	FinishStop   = "stop"   // an end-of-sequence or stop token, or OnToken said so
	FinishLength = "length" // MaxTokens, or the context is full
	FinishAbort  = "abort"  // the request's context ended
)

// Request asks for the continuations of a prompt.
type Request struct {
	Prompt []int32 // not empty, shorter than the context
	N      int     // samples, ≥ 1
	// Seed of the first sample; sample j draws from the stream Seed + j.
	Seed int64

	Temperature  float64 // 0 is greedy
	TopP         float64 // (0, 1]; 1 is off
	TopK         int     // -1 is off
	MinP         float64 // [0, 1]; 0 is off
	MaxTokens    int     // ≥ 1; the context's end cuts it
	MinTokens    int     // no end-of-sequence or stop token before
	StopTokenIDs []int32
	IgnoreEOS    bool

	RepetitionPenalty float64 // > 0; divides positive and multiplies negative logits of tokens that are there; 1 is off
	PresencePenalty   float64 // taken off the logits of tokens that were generated; 0 is off
	FrequencyPenalty  float64 // the same for each time that they were; 0 is off
	LogitBias         map[int32]float32
	Allowed           []int32 // the only tokens that may be drawn; nil is all

	Top int // how many of the most likely tokens come with each
	// OnToken, if set, is told each token of a sample as it is drawn, and ends
	// the sample by returning true. It is called from the engine's goroutine:
	// it must not block.
	OnToken func(sample int, t Token) (end bool)
}

// Token is one token of a sample or of a scored sequence.
type Token struct {
	ID      int32
	Logprob float64 // natural, of the model's distribution at temperature 1; a drawn token's with Options.Processed of what it was drawn from
	Rank    int     // 1 for the most likely
	Top     []Candidate
}

// Candidate is a token that was likely.
type Candidate struct {
	ID      int32
	Logprob float64
	Rank    int
}

// Sample is one continuation.
type Sample struct {
	Tokens []Token // the one that ended it included
	Finish string
	// StopToken is the member of StopTokenIDs that ended it; -1 if something else did.
	StopToken int32
}

// ErrNotFinite: the weights gave a logit that is no number.
var ErrNotFinite = errors.New("engine: the model's logits are not finite")

// request is a Request under way. The engine's goroutine owns it until done is closed.
type request struct {
	Request
	number  int // of arrival
	samples []Sample
	left    int // samples that have not ended
	prompt  *sequence
	next    int         // the first sample that has not started
	running []*sequence // those that have started and not ended, by sample
	ends    map[int32]bool

	scored  []Token // of a request that only scores
	scoring bool

	cancelled atomic.Bool
	err       error
	done      chan struct{}
}

// sequence is tokens with a part of them in the cache.
type sequence struct {
	r      *request
	sample int     // -1 where it is the prompt alone
	tokens []int32 // prompt and, of a sample, what was drawn
	cached int     // how many have their keys and values in blocks
	blocks []int32
	counts map[int32]int // of drawn tokens, where a penalty needs them

	planned, first, wanted int // of the pass under way: rows, its first row, its first wanted row
}

// age orders the sequences of a request; the lowest is the oldest.
func (s *sequence) age() int {
	if s.sample < 0 {
		return math.MaxInt
	}
	return s.sample
}

// need is how many rows the sequence wants to run.
func (s *sequence) need() int { return len(s.tokens) - s.cached }

func (e *Engine) newRequest(q Request) (*request, error) {
	if err := e.checkPrompt(q.Prompt); err != nil {
		return nil, err
	}
	switch {
	case len(q.Prompt) >= e.o.MaxLen:
		return nil, fmt.Errorf("engine: the prompt has %d tokens, the context of %d has no room for an answer", len(q.Prompt), e.o.MaxLen)
	case q.N < 1 || q.MaxTokens < 1:
		return nil, fmt.Errorf("engine: %d samples of %d tokens: both must be at least 1", q.N, q.MaxTokens)
	case !(q.Temperature >= 0) || math.IsInf(q.Temperature, 0) || !(q.TopP > 0 && q.TopP <= 1) || !(q.MinP >= 0 && q.MinP <= 1) || q.TopK != -1 && q.TopK < 1 || !(q.RepetitionPenalty > 0) || math.IsInf(q.RepetitionPenalty, 0):
		return nil, fmt.Errorf("engine: temperature %v, top_p %v, top_k %d, min_p %v, repetition_penalty %v are out of range", q.Temperature, q.TopP, q.TopK, q.MinP, q.RepetitionPenalty)
	case !finite(q.PresencePenalty) || !finite(q.FrequencyPenalty):
		return nil, fmt.Errorf("engine: presence_penalty %v and frequency_penalty %v must be finite", q.PresencePenalty, q.FrequencyPenalty)
	case q.Allowed != nil && len(q.Allowed) == 0:
		return nil, errors.New("engine: no token is allowed")
	}
	for _, id := range q.Allowed {
		if !e.inVocab(id) {
			return nil, fmt.Errorf("engine: allowed token %d is outside the vocabulary of %d", id, e.vocab)
		}
	}
	r := &request{Request: q, left: q.N, samples: make([]Sample, q.N), done: make(chan struct{}), ends: map[int32]bool{}}
	r.MaxTokens = min(q.MaxTokens, e.o.MaxLen-len(q.Prompt))
	for _, id := range q.StopTokenIDs {
		r.ends[id] = true
	}
	if !q.IgnoreEOS {
		for _, id := range e.o.EOS {
			r.ends[id] = true
		}
	}
	for i := range r.samples {
		r.samples[i] = Sample{Finish: FinishAbort, StopToken: -1} // until it ends otherwise
	}
	if q.N > 1 {
		// All but the last token, which every sample runs for itself: its logits are where they part.
		r.prompt = &sequence{r: r, sample: -1, tokens: q.Prompt[:len(q.Prompt)-1]}
	}
	return r, nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func (e *Engine) checkPrompt(ids []int32) error {
	if len(ids) == 0 {
		return errors.New("engine: the prompt is empty")
	}
	for i, id := range ids {
		if !e.inVocab(id) {
			return fmt.Errorf("engine: prompt token %d is %d, outside the vocabulary of %d", i, id, e.vocab)
		}
	}
	return nil
}

func (e *Engine) inVocab(id int32) bool { return id >= 0 && int(id) < e.vocab }
