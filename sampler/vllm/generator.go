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
	if err := sampler.CheckPrompt(r.PromptTokenIDs, g.o.Vocab); err != nil {
		return nil, fmt.Errorf("vllm: %w", err)
	}
	f := g.start(r)
	defer g.end(f)
	return sampler.InParts(ctx, r, g.o.MaxSamples, func(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
		return g.part(ctx, r, f)
	})
}

// part gets r's samples with one HTTP request, and with further ones for
// those that the server aborts.
func (g *Generator) part(ctx context.Context, r sampler.Request, f *flight) ([]sampler.Rollout, error) {
	if g.o.Stream != nil {
		return g.streamed(ctx, r, f)
	}
	rollouts, err := sampler.Insist(ctx, r, g.o.Retry, g.e.URL()+completionsPath, g.once)
	if err != nil {
		return nil, fmt.Errorf("vllm: %w", err)
	}
	return rollouts, nil
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
