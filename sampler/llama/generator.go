// Package llama samples from llama.cpp's llama-server over its own
// /completion: token ids in, token ids and raw log-probs out.
//
// [Generator] makes rollouts, [Scorer] gives the log-probs of fixed sequences,
// and [Probe] asks a server what it is. llama-server cannot be given new
// weights while it runs; bridge/command restarts it.
package llama

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

var _ sampler.Generator = (*Generator)(nil)

// DefaultParallel is the number of samples of a request that are asked for at a time.
const DefaultParallel = 16

// Options are a Generator's and a Scorer's settings; the zero value is usable.
type Options struct {
	// Vocab is the number of ids the model knows: any reply with an id outside
	// [0, Vocab) is refused. 0 checks nothing but the sign.
	Vocab int
	// Parallel bounds the samples of one request that are asked for at a time,
	// each in an HTTP request of its own; what the server has no slot for waits
	// there. 0 is [DefaultParallel].
	Parallel int
	// Retry is how a failed request is tried again: a seeded generation is
	// idempotent. The zero value is [endpoint.Retry]'s default, without a bound
	// on an attempt.
	Retry endpoint.Retry
}

// Generator is a [sampler.Generator] for one llama-server.
type Generator struct {
	e *endpoint.Endpoint
	o Options
}

// New makes a Generator; it sends nothing.
func New(e *endpoint.Endpoint, o Options) (*Generator, error) {
	if o.Vocab < 0 || o.Parallel < 0 {
		return nil, fmt.Errorf("llama: vocabulary %d or samples at a time %d is negative", o.Vocab, o.Parallel)
	}
	if o.Parallel == 0 {
		o.Parallel = DefaultParallel
	}
	return &Generator{e: e, o: o}, nil
}

// Generate implements [sampler.Generator], with one HTTP request a sample.
//
// llama-server knows no stop tokens beside the model's own: a rollout with
// Params.StopTokenIDs is sampled to its end and cut here. Nor does it give the
// log-prob of a token after which the text ends within a character: those are
// asked for apart, as the Scorer does.
func (g *Generator) Generate(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("llama: request: %w", err)
	}
	if err := sampler.CheckPrompt(r.PromptTokenIDs, g.o.Vocab); err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	out := make([]sampler.Rollout, r.Count)
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(g.o.Parallel)
	for j := range out {
		work.Go(func() error {
			return g.o.Retry.Do(ctx, func(ctx context.Context) (err error) {
				out[j], err = g.once(ctx, r, r.First+j)
				return err
			})
		})
	}
	if err := work.Wait(); err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	return out, nil
}

// once asks for sample j and checks the reply.
func (g *Generator) once(ctx context.Context, r sampler.Request, j int) (sampler.Rollout, error) {
	var reply completionReply
	if err := post(ctx, g.e, completionPath, newCompletion(r, j), &reply); err != nil {
		return sampler.Rollout{}, err
	}
	out, cut, err := g.rollout(r, &reply)
	if err != nil {
		return sampler.Rollout{}, g.bad(err)
	}
	out.Sample = j
	for i, x := range out.Logprobs {
		if !isNaN(x) {
			continue
		}
		prefix := slices.Concat(r.PromptTokenIDs, out.TokenIDs[:i])
		if out.Logprobs[i], err = (&Scorer{g}).next(ctx, prefix, out.TokenIDs[i]); err != nil {
			return sampler.Rollout{}, fmt.Errorf("log-prob of token %d: %w", i, err)
		}
	}
	if cut {
		if out.Text, err = g.text(ctx, out.TokenIDs[:len(out.TokenIDs)-1]); err != nil {
			return sampler.Rollout{}, err
		}
	}
	return out, nil
}

func (g *Generator) bad(err error) error {
	return &endpoint.ReplyError{Method: http.MethodPost, URL: g.e.URL() + completionPath, Err: err}
}

// text decodes tokens as the server does.
func (g *Generator) text(ctx context.Context, ids []int32) (string, error) {
	if len(ids) == 0 {
		return "", nil
	}
	var reply struct {
		Content string `json:"content"`
	}
	err := post(ctx, g.e, "/detokenize", map[string][]int32{"tokens": ids}, &reply)
	return reply.Content, err
}
