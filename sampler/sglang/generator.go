// Package sglang samples from an SGLang server over its own /generate: token
// ids in, token ids and log-probs out.
//
// [Generator] makes rollouts, [Scorer] gives the log-probs of fixed sequences,
// and [Probe] asks a server what it is.
//
// SGLang's log-probs are of the distribution after the temperature, before
// top-k, top-p and min-p (SGLANG_RETURN_ORIGINAL_LOGPROB=1 makes them raw), and
// it heeds seeds only with --enable-deterministic-inference.
package sglang

import (
	"context"
	"fmt"
	"net/http"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

var _ sampler.Generator = (*Generator)(nil)

// DefaultMaxSamples is the most samples that one HTTP request asks for.
const DefaultMaxSamples = 64

// Options are a Generator's and a Scorer's settings; the zero value is usable.
type Options struct {
	// Vocab is the number of ids the model knows: any reply with an id outside
	// [0, Vocab) is refused. 0 checks nothing but the sign.
	Vocab int
	// MaxModelLen is the context in tokens, [sampler.Info]'s: max_new_tokens is
	// never more than it leaves. 0 is unknown, and SGLang then refuses a request
	// that could grow over it.
	MaxModelLen int
	// Seeds sends each sample's seed. Only a server with
	// --enable-deterministic-inference heeds it ([sampler.Info] says so), and
	// one before 0.5.3 refuses it.
	Seeds bool
	// Tag, when set, is the weight_version of a version's weights: an answer
	// to a request for a version that shows another tag is refused.
	Tag func(version int64) string
	// MaxSamples cuts requests for more samples into several, one after the
	// other; 0 is [DefaultMaxSamples].
	MaxSamples int
	// Retry is how a failed request is tried again; the zero value is
	// [endpoint.Retry]'s default, without a bound on an attempt.
	Retry endpoint.Retry
}

// Generator is a [sampler.Generator] for one SGLang server.
type Generator struct {
	e *endpoint.Endpoint
	o Options
}

// New makes a Generator; it sends nothing.
func New(e *endpoint.Endpoint, o Options) (*Generator, error) {
	if o.Vocab < 0 || o.MaxModelLen < 0 || o.MaxSamples < 0 {
		return nil, fmt.Errorf("sglang: vocabulary %d, context %d or samples a request %d is negative", o.Vocab, o.MaxModelLen, o.MaxSamples)
	}
	if o.MaxSamples == 0 {
		o.MaxSamples = DefaultMaxSamples
	}
	return &Generator{e: e, o: o}, nil
}

// Generate implements [sampler.Generator]. A sample that the server aborted (a
// pause, an operator) is asked for again alone, with its own seed.
func (g *Generator) Generate(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("sglang: request: %w", err)
	}
	if err := sampler.CheckPrompt(r.PromptTokenIDs, g.o.Vocab); err != nil {
		return nil, fmt.Errorf("sglang: %w", err)
	}
	rollouts, err := sampler.InParts(ctx, r, g.o.MaxSamples, func(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
		return sampler.Insist(ctx, r, g.o.Retry, g.e.URL()+generatePath, g.once)
	})
	if err != nil {
		return nil, fmt.Errorf("sglang: %w", err)
	}
	return rollouts, nil
}

// once is one HTTP request and its checked reply.
func (g *Generator) once(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	var reply []answer
	if err := g.e.Do(ctx, http.MethodPost, generatePath, g.o.newGenerate(r), &reply); err != nil {
		return nil, err
	}
	rollouts, err := g.rollouts(r, reply)
	if err != nil {
		return nil, &endpoint.ReplyError{Method: http.MethodPost, URL: g.e.URL() + generatePath, Err: err}
	}
	return rollouts, nil
}
