package llama

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// Probe asks a server what it is: its model, context (of one slot), vocabulary
// and build. served is the model's name, "" takes the one that is served. It
// generates a few tokens and changes nothing.
//
// A server of another kind or with another model gives a
// [*sampler.CannotError]; one that does not answer an
// [*endpoint.UnreachableError]. A server that still loads its model (503) is
// waited for as retry says.
func Probe(ctx context.Context, e *endpoint.Endpoint, served string, retry endpoint.Retry) (sampler.Info, error) {
	p := prober{e: e, retry: retry, info: sampler.Info{Dialect: sampler.DialectLlama, MaxSamples: 1, Seeds: true}}
	for _, ask := range []func(context.Context, string) error{p.props, p.models, p.tokens} {
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

func (p *prober) do(ctx context.Context, method, path string, in, out any) error {
	return p.retry.Do(ctx, func(ctx context.Context) error { return p.e.Do(ctx, method, path, in, out) })
}

func (p *prober) cannot(what, hint string, args ...any) error {
	return &sampler.CannotError{URL: p.e.URL(), What: fmt.Sprintf(what, args...), Hint: hint}
}

func (p *prober) props(ctx context.Context, _ string) error {
	var reply struct {
		Settings *struct {
			NCtx int `json:"n_ctx"`
		} `json:"default_generation_settings"`
		TotalSlots int    `json:"total_slots"`
		ModelPath  string `json:"model_path"`
		BuildInfo  string `json:"build_info"`
	}
	err := p.do(ctx, http.MethodGet, "/props", nil, &reply)
	var refused *endpoint.StatusError
	switch {
	case errors.As(err, &refused) && (refused.Status == http.StatusNotFound || refused.Status == http.StatusMethodNotAllowed),
		err == nil && reply.Settings == nil:
		return p.cannot("has no /props of llama.cpp: it is no llama-server", "name a server of another kind as what it is, or start llama-server")
	case err != nil:
		return err
	}
	p.info.Version, p.info.Root, p.info.MaxModelLen = reply.BuildInfo, reply.ModelPath, reply.Settings.NCtx
	return nil
}

func (p *prober) models(ctx context.Context, want string) error {
	var reply struct {
		Data []struct {
			ID      string   `json:"id"`
			Aliases []string `json:"aliases"`
			Meta    *struct {
				Vocab int `json:"n_vocab"`
			} `json:"meta"`
		} `json:"data"`
	}
	if err := p.do(ctx, http.MethodGet, "/v1/models", nil, &reply); err != nil {
		return err
	}
	for _, m := range reply.Data {
		p.info.Models = append(p.info.Models, m.ID)
		if p.info.Model == "" && (want == "" || m.ID == want || slices.Contains(m.Aliases, want)) {
			p.info.Model = m.ID
			if m.Meta != nil {
				p.info.Vocab = m.Meta.Vocab
			}
		}
	}
	switch {
	case p.info.Model != "":
		return nil
	case len(reply.Data) == 0:
		return p.cannot("lists no model", "serve one")
	}
	return p.cannot("does not serve %q", "it serves "+strings.Join(p.info.Models, ", "), want)
}

// tokens samples a few at a temperature at which raw and processed log-probs of
// unlikely tokens lie far apart, and scores the same ones.
func (p *prober) tokens(ctx context.Context, _ string) error {
	const temperature, tokens, same = 4, 8, 0.1
	req := plain([]int32{0, 1}, tokens)
	req.Temperature, req.NProbs = temperature, 1
	var reply completionReply
	if err := p.do(ctx, http.MethodPost, completionPath, req, &reply); err != nil {
		return err
	}
	p.info.TokenIDs = len(reply.Tokens) > 0
	given, err := sampledLogprobs(&reply)
	if err != nil || len(reply.Probabilities) == 0 {
		return nil //nolint:nilerr // no log-probs: the Generator will say so
	}
	s, err := NewScorer(p.e, Options{Retry: p.retry})
	if err != nil {
		return err
	}
	raw, err := s.Score(ctx, [][]int32{append(req.Prompt, reply.Tokens...)})
	var bad *endpoint.ReplyError
	if errors.As(err, &bad) { // its tokens are not to be forced
		return nil
	} else if err != nil {
		return err
	}
	p.info.Scores = true
	diff, n := 0.0, 0
	for i, x := range given {
		if !isNaN(x) {
			diff, n = diff+math.Abs(float64(x-raw[0][i+1])), n+1
		}
	}
	p.info.LogprobsMode = sampler.LogprobsProcessed
	if diff <= same*float64(n) {
		p.info.LogprobsMode = sampler.LogprobsRaw
	}
	return nil
}
