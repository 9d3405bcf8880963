package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openai"
	"github.com/justrl/justrl/sampler/vllm"
)

// contender samples what it is asked for.
type contender interface {
	// Sample answers all requests, blocks until the last is done, and gives the number of tokens sampled.
	Sample(ctx context.Context, requests []sampler.Request) (tokens int, err error)
}

// named is a contender in the report. pid is its process, 0 if it is not known.
type named struct {
	contender
	name string
	pid  int
}

// open connects to the servers, in the order of the flags, and starts
// transformers. closeAll ends what was opened, also after an error.
func open(ctx context.Context, o options, stderr io.Writer) (all []named, closeAll func(), err error) {
	var closers []func()
	closeAll = func() {
		for _, c := range closers {
			c()
		}
	}
	for _, a := range o.servers {
		s, err := openServer(ctx, a.url, o.served, o.work)
		if err != nil {
			return nil, closeAll, fmt.Errorf("%s: %w", a.name, err)
		}
		closers = append(closers, s.endpoint.Close)
		all = append(all, named{s, a.name, a.pid})
	}
	if o.python != "" {
		p, err := startTransformers(ctx, o.python, o.model, o.threads, stderr)
		if err != nil {
			return nil, closeAll, fmt.Errorf("%s: %w", transformersName, err)
		}
		p.eos = o.work.eos
		closers = append(closers, p.Close)
		all = append(all, named{p, transformersName, p.PID()})
	}
	return all, closeAll, nil
}

// server is a contender behind the OpenAI API.
type server struct {
	endpoint  *endpoint.Endpoint
	generator *vllm.Generator
}

// openServer takes the server's first model if served is "".
func openServer(ctx context.Context, url, served string, w workload) (*server, error) {
	e, err := endpoint.New(url, endpoint.Options{})
	if err != nil {
		return nil, err
	}
	once := endpoint.Retry{Tries: 1} // a request that is asked twice would count as slow
	if served == "" {
		models, err := openai.New(e, once).Models(ctx)
		if err == nil && len(models) == 0 {
			err = errors.New("serves no model")
		}
		if err != nil {
			e.Close()
			return nil, err
		}
		served = models[0].ID
	}
	g, err := vllm.New(e, vllm.Options{Model: served, Vocab: w.vocab, Retry: once})
	if err != nil {
		e.Close()
		return nil, err
	}
	return &server{e, g}, nil
}

// Sample sends every request at once.
func (s *server) Sample(ctx context.Context, requests []sampler.Request) (int, error) {
	counts := make([]int, len(requests))
	g, ctx := errgroup.WithContext(ctx)
	for i, r := range requests {
		g.Go(func() error {
			rollouts, err := s.generator.Generate(ctx, r)
			for _, ro := range rollouts {
				counts[i] += len(ro.TokenIDs)
			}
			return err
		})
	}
	err := g.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return total, err
}
