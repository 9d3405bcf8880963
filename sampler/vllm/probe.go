package vllm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openai"
)

// StartHint is how to start a vLLM that a training run can use.
const StartHint = "start it with VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --logprobs-mode raw_logprobs"

// ForTraining is nil if a training run can use the server: it must have dev
// mode, not be paused, give token ids and log-probs, and serve a vocabulary of vocab ids (the model's
// vocab_size).
func ForTraining(i sampler.Info, url string, vocab int) error {
	var errs []error
	if !i.DevMode {
		errs = append(errs, &sampler.CannotError{URL: url, What: "no /is_paused: vLLM's dev mode is off, so weights cannot be reloaded", Hint: StartHint})
	}
	if i.Paused {
		errs = append(errs, &sampler.CannotError{URL: url, What: "generation is paused", Hint: "resume it: curl -X POST " + url + "/resume"})
	}
	if !i.TokenIDs && !i.Paused { // one that is paused cannot be asked for them
		errs = append(errs, &sampler.CannotError{URL: url, What: "gives no token ids or no log-probs with its answers", Hint: "use vLLM 0.18 or later, and no proxy that leaves fields out"})
	}
	if i.Vocab != 0 && i.Vocab != vocab {
		errs = append(errs, &sampler.CannotError{URL: url, What: fmt.Sprintf("serves %s with a vocabulary of %d, the run's model has %d", i.Model, i.Vocab, vocab), Hint: "start it with the run's model"})
	}
	return errors.Join(errs...)
}

// Probe asks a server what it is: its models, context, vocabulary, dev mode
// and kind of log-probs. model is the served name; "" takes the only base
// model. It generates a few tokens and changes nothing.
//
// A server that answers but does not serve model gives a [*sampler.CannotError]; one
// that does not answer an [*endpoint.UnreachableError].
func Probe(ctx context.Context, e *endpoint.Endpoint, model string, retry endpoint.Retry) (sampler.Info, error) {
	p := prober{e: e, retry: retry, info: sampler.Info{Dialect: sampler.DialectVLLM, Seeds: true}}
	for _, ask := range []func(context.Context, string) error{
		p.models, p.version, p.context, p.devMode,
	} {
		if err := ask(ctx, model); err != nil {
			return sampler.Info{}, fmt.Errorf("probe server: %w", err)
		}
	}
	if p.info.Paused {
		return p.info, nil // a generation would wait for the resume
	}
	for _, ask := range []func(context.Context, string) error{p.vocabulary, p.logprobsMode} {
		if err := ask(ctx, model); err != nil {
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

func (p *prober) models(ctx context.Context, want string) error {
	models, err := openai.New(p.e, p.retry).Models(ctx)
	if err != nil {
		return err
	}
	m, names, adapters, err := openai.Choose(models, want, p.e.URL())
	if err != nil {
		return err
	}
	p.info.Models, p.info.Adapters, p.info.Model, p.info.Root = names, adapters, m.ID, m.Root
	return nil
}

func (p *prober) version(ctx context.Context, _ string) error {
	var reply struct {
		Version string `json:"version"`
	}
	if err := p.do(ctx, http.MethodGet, "/version", nil, &reply); err != nil && endpoint.StatusOf(err) != http.StatusNotFound {
		return err
	}
	p.info.Version = reply.Version
	return nil
}

// context takes max_model_len from /tokenize, as go-openai drops it from the list of models.
func (p *prober) context(ctx context.Context, _ string) error {
	req := struct {
		Model            string `json:"model"`
		Prompt           string `json:"prompt"`
		AddSpecialTokens bool   `json:"add_special_tokens"`
	}{p.info.Model, "1", false}
	var reply struct {
		MaxModelLen int `json:"max_model_len"`
	}
	if err := p.do(ctx, http.MethodPost, "/tokenize", req, &reply); err != nil && endpoint.StatusOf(err) != http.StatusNotFound {
		return err
	}
	p.info.MaxModelLen = reply.MaxModelLen
	return nil
}

func (p *prober) devMode(ctx context.Context, _ string) error {
	var paused struct {
		IsPaused bool `json:"is_paused"`
	}
	if err := p.do(ctx, http.MethodGet, "/is_paused", nil, &paused); endpoint.StatusOf(err) == http.StatusNotFound {
		return nil
	} else if err != nil {
		return err
	}
	p.info.DevMode, p.info.Paused = true, paused.IsPaused
	p.info.Loads = []string{"files"}
	var weights struct {
		WeightVersion string `json:"weight_version"`
	}
	if err := p.do(ctx, http.MethodGet, "/weight_info", nil, &weights); err != nil && endpoint.StatusOf(err) != http.StatusNotFound {
		return err
	}
	p.info.WeightVersion = weights.WeightVersion
	return nil
}

var vocabularySize = regexp.MustCompile(`Vocabulary size: (\d+)`)

// vocabulary asks to stop at a token that no model has; vLLM's refusal names the size.
func (p *prober) vocabulary(ctx context.Context, _ string) error {
	req := probeRequest(p.info.Model, []int32{0}, 1)
	req.StopTokenIDs = []int32{math.MaxInt32}
	err := p.do(ctx, http.MethodPost, completionsPath, req, nil)
	var refused *endpoint.StatusError
	if err == nil || !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
		return err
	}
	if m := vocabularySize.FindStringSubmatch(refused.Message); m != nil {
		p.info.Vocab, _ = strconv.Atoi(m[1]) // the pattern has only digits
	}
	return nil
}

// logprobsMode samples at a temperature at which raw and processed log-probs
// lie far apart, and compares with the same tokens' prompt log-probs, which
// are raw in every mode. Batch noise is about 0.02 nats in bf16; the modes
// differ by nats unless the model is nearly uniform.
func (p *prober) logprobsMode(ctx context.Context, _ string) error {
	const temperature, tokens, same = 2, 16, 0.2 // vLLM takes no temperature above 2
	prompt := []int32{0, 1}
	req := probeRequest(p.info.Model, prompt, tokens)
	req.Temperature, req.Seed, req.IgnoreEOS, req.Logprobs = temperature, 1, true, new(int)
	var sampled completionReply
	if err := p.do(ctx, http.MethodPost, completionsPath, req, &sampled); err != nil {
		return err
	}
	if len(sampled.Choices) != 1 || len(sampled.Choices[0].TokenIDs) == 0 || sampled.Choices[0].Logprobs == nil ||
		len(sampled.Choices[0].Logprobs.TokenLogprobs) != len(sampled.Choices[0].TokenIDs) {
		return nil // no token ids or log-probs: the Generator will say so
	}
	p.info.TokenIDs = true
	given := sampled.Choices[0].Logprobs.TokenLogprobs
	seq := append(prompt, sampled.Choices[0].TokenIDs...)
	scorer, err := NewScorer(p.e, Options{Model: p.info.Model, Retry: p.retry})
	if err != nil {
		return err
	}
	raw, err := scorer.Score(ctx, [][]int32{seq})
	if err != nil {
		return err
	}
	p.info.Scores = true
	var diff float64
	for i, x := range given {
		diff += math.Abs(float64(x - raw[0][len(prompt)-1+i]))
	}
	p.info.LogprobsMode = sampler.LogprobsProcessed
	if diff/float64(len(given)) < same {
		p.info.LogprobsMode = sampler.LogprobsRaw
	}
	return nil
}

// probeRequest is a plain greedy request.
func probeRequest(model string, prompt []int32, maxTokens int) completion {
	return completion{
		Model: model, Prompt: prompt, N: 1, TopP: 1, TopK: -1, MaxTokens: maxTokens, StopTokenIDs: []int32{},
		RepetitionPenalty: 1, ReturnTokenIDs: true, SkipSpecialTokens: true,
	}
}
