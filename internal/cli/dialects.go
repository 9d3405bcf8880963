package cli

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/justrl/justrl/bridge"
	bridgevllm "github.com/justrl/justrl/bridge/vllm"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/llama"
	"github.com/justrl/justrl/sampler/ollama"
	"github.com/justrl/justrl/sampler/openai"
	"github.com/justrl/justrl/sampler/sglang"
	"github.com/justrl/justrl/sampler/vllm"
)

// dialect is one kind of server: how it lets itself be known, and what makes it
// a part of a run.
type dialect struct {
	name sampler.Dialect
	// sign tells whether a server is of this kind, by what no other kind answers.
	// It generates nothing; an error says that the server does not answer at all.
	sign func(ctx context.Context, e *endpoint.Endpoint) (bool, error)
	// probe finds out what the server is.
	probe func(ctx context.Context, e *endpoint.Endpoint, served string, retry endpoint.Retry) (sampler.Info, error)
	// fits is nil if s's run can train against it.
	fits func(s *server, i sampler.Info) error
	// open makes the parts of s's run; nil where no run can use the kind.
	open func(s *server, i sampler.Info) (what, error)
}

// dialects are the kinds in the order in which [discover] asks for them. What
// several kinds imitate comes last: Ollama, SGLang and llama-server answer
// OpenAI's routes too.
func dialects() []dialect {
	return []dialect{
		{sampler.DialectOllama, isOllama, ollama.Probe, fitsOllama, (*server).openOllama},
		{sampler.DialectSGLang, isSGLang, sglang.Probe, fitsSGLang, (*server).openSGLang},
		{sampler.DialectLlama, isLlama, llama.Probe, fitsLlama, (*server).openLlama},
		vllmDialect(),
	}
}

func vllmDialect() dialect {
	return dialect{sampler.DialectVLLM, isVLLM, probeVLLM, fitsVLLM, (*server).openVLLM}
}

// plainDialect is every other server: good for evaluation, if it has chat.
func plainDialect() dialect {
	return dialect{name: sampler.DialectOpenAI, probe: openai.Probe, fits: fitsPlain}
}

// discover finds out what a server speaks. A server that does not answer gives
// the endpoint's own error.
func discover(ctx context.Context, e *endpoint.Endpoint) (dialect, error) {
	for _, d := range dialects() {
		ok, err := d.sign(ctx, e)
		if err != nil || ok {
			return d, err
		}
	}
	return plainDialect(), nil
}

// ask asks for a route; false says that there is no such thing. Gateways answer
// 401 and 403 for what they do not know, and a wrong key is refused by /v1 too.
func ask(ctx context.Context, e *endpoint.Endpoint, path string, out any) (bool, error) {
	err := probing.Do(ctx, func(ctx context.Context) error { return e.Do(ctx, http.MethodGet, path, nil, out) })
	if err == nil {
		return true, nil
	}
	var status *endpoint.StatusError
	var reply *endpoint.ReplyError
	switch {
	case errors.As(err, &status) && (status.Status < 500 || status.Status == http.StatusNotImplemented) && !endpoint.Retryable(err),
		errors.As(err, &reply) && !endpoint.Retryable(err):
		return false, nil
	}
	return false, err
}

// versioned is what /version and /api/version answer.
type versioned struct {
	Version string `json:"version"`
}

func isOllama(ctx context.Context, e *endpoint.Endpoint) (bool, error) {
	var v versioned
	ok, err := ask(ctx, e, "/api/version", &v)
	return ok && v.Version != "", err
}

// isVLLM takes a route of its development mode, or its version and a /tokenize
// that wants a POST. The embedded server speaks vLLM's dialect.
func isVLLM(ctx context.Context, e *endpoint.Endpoint) (bool, error) {
	var paused struct {
		IsPaused *bool `json:"is_paused"`
	}
	if ok, err := ask(ctx, e, "/is_paused", &paused); err != nil || ok && paused.IsPaused != nil {
		return ok, err
	}
	var v versioned
	if ok, err := ask(ctx, e, "/version", &v); err != nil || !ok || v.Version == "" {
		return false, err
	}
	err := probing.Do(ctx, func(ctx context.Context) error { return e.Do(ctx, http.MethodGet, "/tokenize", nil, nil) })
	var status *endpoint.StatusError
	if errors.As(err, &status) {
		return status.Status == http.StatusMethodNotAllowed, nil
	}
	return false, err
}

// probeVLLM asks for the ways of loading too, which are the bridge's to know.
func probeVLLM(ctx context.Context, e *endpoint.Endpoint, served string, retry endpoint.Retry) (sampler.Info, error) {
	i, err := vllm.Probe(ctx, e, served, retry)
	if err == nil && i.DevMode {
		i.Loads, err = bridgevllm.Ways(ctx, e)
	}
	return i, err
}

func fitsOllama(s *server, i sampler.Info) error {
	return errors.Join(ollama.ForTraining(i, s.endpoint.URL(), cmp.Or(s.spec.Vocab, i.Vocab), s.cfg.Sampling.AllowRetokenized), recomputes(s.cfg))
}

func fitsVLLM(s *server, i sampler.Info) error {
	i.DevMode = i.DevMode || s.cfg.Publish.Sync == config.SyncCommand // which needs no route of the server
	return vllm.ForTraining(i, s.endpoint.URL(), cmp.Or(s.spec.Vocab, i.Vocab))
}

func fitsPlain(s *server, _ sampler.Info) error {
	return &sampler.CannotError{
		URL:  s.endpoint.URL(),
		What: "is a plain OpenAI server: beside /v1 it has no routes of any that takes weights and gives token ids",
		Hint: "evaluate with it, or, if a gateway hides the rest, give the address of the server itself",
	}
}

func (s *server) openVLLM(i sampler.Info) (f what, err error) {
	f.hello = []int32{0, 1}
	o := vllm.Options{Model: i.Model, Vocab: s.spec.Vocab, Retry: s.once()}
	if o.Stream, err = s.stream(); err != nil {
		return f, err
	}
	if o.Stream != nil {
		o.Retry.Notify = s.notify // of cuts, after which an answer went on
	}
	if f.generator, err = vllm.New(s.endpoint, o); err != nil {
		return f, err
	}
	f.trial = f.generator
	o.Retry, o.Stream = s.patiently(), nil
	if f.scorer, err = vllm.NewScorer(s.control, o); err != nil {
		return f, err
	}
	f.publisher = func(run string, want []bridge.Tensor) (bridge.Publisher, error) {
		if s.cfg.Publish.Sync == config.SyncCommand {
			return s.byCommand(want)
		}
		o := bridgevllm.Options{Model: i.Model, Run: run, Want: want, Inspector: inspector{}, Open: openWeights, Protect: s.cfg.Model}
		if s.cfg.Publish.Sync != config.SyncAuto { // what auto is the publisher asks again: the server may be another one by then
			o.Sync = s.cfg.Publish.Sync
		}
		return bridgevllm.New(s.control, o)
	}
	return f, nil
}
