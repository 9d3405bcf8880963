package openai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// Probe asks a server of which no more is known than that it speaks OpenAI's
// API what it serves, and whether it has chat, takes n and heeds seeds. served
// is the model's name; "" takes the only base model. It generates a few tokens
// and changes nothing.
//
// A server that does not serve the model, or has no chat, gives a
// [*sampler.CannotError]; one that does not answer an [*endpoint.UnreachableError].
func Probe(ctx context.Context, e *endpoint.Endpoint, served string, retry endpoint.Retry) (sampler.Info, error) {
	p := prober{e: e, retry: retry, info: sampler.Info{Dialect: sampler.DialectOpenAI}}
	for _, ask := range []func(context.Context, string) error{p.model, p.chat} {
		if err := ask(ctx, served); err != nil {
			return sampler.Info{}, fmt.Errorf("probe server: %w", err)
		}
	}
	return p.info, nil
}

type prober struct {
	e     *endpoint.Endpoint
	retry endpoint.Retry
	info  sampler.Info
}

func (p *prober) cannot(what, hint string) error {
	return &sampler.CannotError{URL: p.e.URL(), What: what, Hint: hint}
}

func (p *prober) model(ctx context.Context, want string) error {
	models, err := New(p.e, p.retry).Models(ctx)
	if err != nil {
		return err
	}
	if len(models) == 0 {
		return p.cannot("lists no model at /v1/models", "load one, or check the address")
	}
	base := 0
	for _, m := range models {
		if m.Parent != "" {
			p.info.Adapters = append(p.info.Adapters, m.ID)
			continue
		}
		p.info.Models = slices.Insert(p.info.Models, base, m.ID)
		base++
	}
	p.info.Models = append(p.info.Models, p.info.Adapters...)
	list := strings.Join(p.info.Models, ", ")
	if want == "" {
		if base != 1 {
			return p.cannot(fmt.Sprintf("serves %d models (%s)", base, list), "name one with --served-model")
		}
		want = p.info.Models[0]
	}
	at := slices.IndexFunc(models, func(m Model) bool { return m.ID == want })
	if at < 0 {
		return p.cannot(fmt.Sprintf("does not serve %q", want), "it serves "+list)
	}
	m := models[at]
	p.info.Model, p.info.Root, p.info.MaxModelLen = m.ID, m.Root, m.MaxModelLen
	return nil
}

// chat asks the same question twice, for two answers each.
func (p *prober) chat(ctx context.Context, _ string) error {
	request := struct {
		Model       string    `json:"model"`
		Messages    []Message `json:"messages"`
		N           int       `json:"n"`
		Temperature float64   `json:"temperature"`
		MaxTokens   int       `json:"max_tokens"`
		Seed        int64     `json:"seed"`
	}{p.info.Model, []Message{{Role: "user", Content: "Make up a name for a boat."}}, 2, 1, 8, 1}
	var said [2][]string
	for i := range said {
		var reply struct {
			Choices []struct {
				Message struct {
					Content *string `json:"content"`
				} `json:"message"`
			} `json:"choices"`
		}
		err := p.retry.Do(ctx, func(ctx context.Context) error { return p.e.Do(ctx, http.MethodPost, chatPath, request, &reply) })
		var refused *endpoint.StatusError
		switch {
		case errors.As(err, &refused) && (refused.Status == http.StatusNotFound || refused.Status == http.StatusMethodNotAllowed):
			return p.cannot("has no chat at "+chatPath+" ("+refused.Message+")", "evaluation asks chat models")
		case errors.As(err, &refused) && refused.Status == http.StatusBadRequest:
			return nil // it has chat, and minds something of this: what it can do stays unknown
		case err != nil:
			return err
		}
		for _, c := range reply.Choices {
			if c.Message.Content != nil {
				said[i] = append(said[i], *c.Message.Content)
			}
		}
	}
	if len(said[0]) < request.N {
		p.info.MaxSamples = 1
	}
	p.info.Seeds = len(said[0]) > 0 && slices.Equal(said[0], said[1])
	return nil
}
