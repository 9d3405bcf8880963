// Package vllm samples from a vLLM server: token ids in, token ids and
// log-probs out, over /v1/completions.
//
// [Generator] makes rollouts, [Scorer] gives the log-probs of fixed
// sequences, and [Probe] asks a server what it is before a run trusts it.
package vllm

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

var _ sampler.Generator = (*Generator)(nil)

// DefaultMaxSamples is the most samples that one HTTP request asks for.
const DefaultMaxSamples = 64

// Options are a Generator's and a Scorer's settings.
type Options struct {
	// Model is the served model's name; required ([Probe] lists the names).
	Model string
	// Vocab is the number of ids the model knows, its config's vocab_size:
	// any reply with an id outside [0, Vocab) is refused. vLLM does sample the
	// padding ids between the tokenizer's size and vocab_size; they are the
	// model's own and pass. 0 checks nothing but the sign.
	Vocab int
	// MaxSamples cuts requests for more samples into several, one after the
	// other; 0 is [DefaultMaxSamples].
	MaxSamples int
	// Retry is how a failed request is tried again: a seeded generation is
	// idempotent. The zero value is [endpoint.Retry]'s default, without a
	// bound on an attempt.
	Retry endpoint.Retry
	// Stream has answers come token by token; nil has each come whole, which
	// costs client and server less.
	Stream *Stream
}

// Generator is a [sampler.Generator] for one vLLM server.
type Generator struct {
	e *endpoint.Endpoint
	o Options
	flights
}

// New makes a Generator; it sends nothing.
func New(e *endpoint.Endpoint, o Options) (*Generator, error) {
	if o.Model == "" {
		return nil, errors.New("vllm: no served model's name given")
	}
	if o.Vocab < 0 || o.MaxSamples < 0 {
		return nil, fmt.Errorf("vllm: vocabulary %d or samples a request %d is negative", o.Vocab, o.MaxSamples)
	}
	if o.MaxSamples == 0 {
		o.MaxSamples = DefaultMaxSamples
	}
	if o.Stream != nil {
		stream := *o.Stream
		if stream.Stall < 0 {
			return nil, fmt.Errorf("vllm: a stream's stall of %s is negative", stream.Stall)
		}
		if stream.Stall == 0 {
			stream.Stall = DefaultStall
		}
		o.Stream = &stream
	}
	return &Generator{e: e, o: o}, nil
}

// Generate implements [sampler.Generator]. A sample that the server aborted
// (a pause, an operator) is asked for again alone, with its own seed.
func (g *Generator) Generate(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("vllm: request: %w", err)
	}
	if err := g.checkPrompt(r.PromptTokenIDs); err != nil {
		return nil, err
	}
	f := g.start(r)
	defer g.end(f)
	got := make([]sampler.Rollout, 0, r.Count)
	for first, end := r.First, r.First+r.Count; first < end; first += g.o.MaxSamples {
		part := r
		part.First, part.Count = first, min(g.o.MaxSamples, end-first)
		rollouts, err := g.part(ctx, part, f)
		if err != nil {
			return nil, err
		}
		got = append(got, rollouts...)
	}
	return got, nil
}

func (g *Generator) checkPrompt(ids []int32) error {
	for i, id := range ids {
		if !g.inVocab(id) {
			return fmt.Errorf("vllm: prompt token %d is %d, outside the vocabulary of %d", i, id, g.o.Vocab)
		}
	}
	return nil
}

func (g *Generator) inVocab(id int32) bool {
	return id >= 0 && (g.o.Vocab == 0 || int(id) < g.o.Vocab)
}

// aborted is the error that makes the retry loop go on with what is missing.
func aborted(url string) error {
	return fmt.Errorf("%w: %w", sampler.ErrAborted, &endpoint.StatusError{
		Method: http.MethodPost, URL: url, Status: http.StatusServiceUnavailable,
		Message: "finish_reason abort",
	})
}

// part gets r's samples with one HTTP request, and with further ones for
// those that the server aborts.
func (g *Generator) part(ctx context.Context, r sampler.Request, f *flight) ([]sampler.Rollout, error) {
	if g.o.Stream != nil {
		return g.streamed(ctx, r, f)
	}
	done := make([]sampler.Rollout, r.Count)
	have := make([]bool, r.Count)
	err := g.o.Retry.Do(ctx, func(ctx context.Context) error {
		for lo, hi := nextMissing(have, 0); lo < hi; lo, hi = nextMissing(have, hi) {
			sub := r
			sub.First, sub.Count = r.First+lo, hi-lo
			rollouts, err := g.once(ctx, sub)
			if err != nil {
				return err
			}
			for i, ro := range rollouts {
				if ro.FinishReason != sampler.FinishAbort {
					done[lo+i], have[lo+i] = ro, true
				}
			}
		}
		if lo, hi := nextMissing(have, 0); lo < hi {
			return aborted(g.e.URL() + completionsPath)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("vllm: %w", err)
	}
	return done, nil
}

// nextMissing is the first run [lo, hi) of false in have at or after from; empty if there is none.
func nextMissing(have []bool, from int) (lo, hi int) {
	for lo = from; lo < len(have) && have[lo]; lo++ {
	}
	for hi = lo; hi < len(have) && !have[hi]; hi++ {
	}
	return lo, hi
}

// once is one HTTP request and its checked reply.
func (g *Generator) once(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	var reply completionReply
	if err := g.e.Do(ctx, http.MethodPost, completionsPath, newCompletion(g.o.Model, r), &reply); err != nil {
		return nil, err
	}
	rollouts, err := g.rollouts(r, &reply)
	if err != nil {
		return nil, &endpoint.ReplyError{Method: http.MethodPost, URL: g.e.URL() + completionsPath, Err: fmt.Errorf("request %s: %w", reply.ID, err)}
	}
	return rollouts, nil
}
