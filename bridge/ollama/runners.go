package ollama

import (
	"context"
	"fmt"
	"time"

	"github.com/ollama/ollama/api"

	"github.com/justrl/justrl/bridge"
)

// unload ends the runner of what the name stands for now, once its requests have ended.
func (p *Publisher) unload(ctx context.Context) error {
	return p.empty(ctx, &api.GenerateRequest{KeepAlive: &api.Duration{}}, "unload")
}

// preload starts the runner that the next requests will meet.
func (p *Publisher) preload(ctx context.Context) error {
	return p.empty(ctx, &api.GenerateRequest{Options: map[string]any{"num_ctx": p.o.Context}}, "load")
}

// empty sends a request without a prompt, which generates nothing.
func (p *Publisher) empty(ctx context.Context, r *api.GenerateRequest, reason string) error {
	no := false
	r.Model, r.Stream = p.o.Model, &no
	return p.c.long(ctx, "/api/generate", func(ctx context.Context) error {
		said := ""
		err := p.c.Generate(ctx, r, func(got api.GenerateResponse) error {
			said = got.DoneReason
			return nil
		})
		if err == nil && said != reason {
			err = fmt.Errorf("done_reason %q to a request without a prompt, want %q", said, reason)
		}
		return err
	})
}

// created is the digest of what the model's name stands for.
func (p *Publisher) created(ctx context.Context) (digest string, err error) {
	err = p.c.quick(ctx, "/api/tags", func(ctx context.Context) error {
		list, err := p.c.List(ctx)
		if err != nil {
			return err
		}
		for _, m := range list.Models {
			if m.Name == p.o.Model {
				digest = m.Digest
				return nil
			}
		}
		return fmt.Errorf("%s is not in the list of models", p.o.Model)
	})
	return digest, err
}

// alone waits until the model's only runner is of the given digest, a version's.
func (p *Publisher) alone(ctx context.Context, version int64, digest string) error {
	over := time.NewTimer(p.o.Drain)
	defer over.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		older, newer, err := p.runners(ctx, digest)
		if err != nil {
			return err
		}
		if newer && older == "" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-over.C:
			if older == "" {
				older = "none of the new"
			}
			return &bridge.CanaryError{Server: p.c.url, Version: version, Part: bridge.PartOwn,
				Seen: fmt.Sprintf("its runners of %s are %s, want that of digest %.12s alone, and %s were not enough", p.o.Model, older, digest, p.o.Drain)}
		}
	}
}

// runners tells whether one of the given digest runs, and the digest of one that does not have it.
func (p *Publisher) runners(ctx context.Context, digest string) (older string, newer bool, err error) {
	err = p.c.quick(ctx, "/api/ps", func(ctx context.Context) error {
		older, newer = "", false
		list, err := p.c.ListRunning(ctx)
		if err != nil {
			return err
		}
		for _, m := range list.Models {
			switch {
			case m.Name != p.o.Model:
			case m.Digest == digest:
				newer = true
			default:
				older = fmt.Sprintf("of digest %.12s", m.Digest)
			}
		}
		return nil
	})
	return older, newer, err
}
