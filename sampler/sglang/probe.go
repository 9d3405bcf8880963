package sglang

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// answerLimit bounds the probe's own generations where the caller has set no
// bound: SGLang does not say that it is paused, it just never answers.
const answerLimit = 2 * time.Minute

// Probe asks a server what it is: its model, context, vocabulary, kind of
// log-probs, whether it heeds seeds and whether weights can be loaded. served is
// the model's name, "" takes whatever is served. It generates a few tokens and
// changes nothing.
//
// A server of another kind, one that serves another model, or one that does not
// generate gives a [*sampler.CannotError]; one that does not answer an
// [*endpoint.UnreachableError].
func Probe(ctx context.Context, e *endpoint.Endpoint, served string, retry endpoint.Retry) (sampler.Info, error) {
	p := prober{e: e, retry: retry, info: sampler.Info{Dialect: sampler.DialectSGLang}}
	for _, ask := range []func(context.Context, string) error{
		p.model, p.server, p.models, p.control, p.vocabulary, p.logprobs,
	} {
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

// either asks at a name and, where that is not there, at the one that later versions have.
func (p *prober) either(ctx context.Context, older, newer string, out any) error {
	err := p.do(ctx, http.MethodGet, older, nil, out)
	if s := endpoint.StatusOf(err); s == http.StatusNotFound || s == http.StatusMethodNotAllowed {
		return p.do(ctx, http.MethodGet, newer, nil, out)
	}
	return err
}

func (p *prober) cannot(what, hint string, args ...any) error {
	return &sampler.CannotError{URL: p.e.URL(), What: fmt.Sprintf(what, args...), Hint: hint}
}

func (p *prober) model(ctx context.Context, _ string) error {
	var reply struct {
		ModelPath     string `json:"model_path"`
		IsGeneration  *bool  `json:"is_generation"`
		WeightVersion string `json:"weight_version"`
	}
	err := p.either(ctx, "/get_model_info", "/model_info", &reply)
	switch s := endpoint.StatusOf(err); {
	case s == http.StatusNotFound || s == http.StatusMethodNotAllowed || err == nil && reply.ModelPath == "":
		return p.cannot("has no /get_model_info: it is no SGLang", "name a server of another kind as what it is, or start SGLang")
	case err != nil:
		return err
	case reply.IsGeneration != nil && !*reply.IsGeneration:
		return p.cannot("serves %s, which does not generate text", "serve a language model", reply.ModelPath)
	}
	p.info.Root, p.info.WeightVersion = reply.ModelPath, reply.WeightVersion
	return nil
}

func (p *prober) server(ctx context.Context, _ string) error {
	var reply struct {
		Version       string `json:"version"`
		Deterministic bool   `json:"enable_deterministic_inference"`
	}
	err := p.either(ctx, "/get_server_info", "/server_info", &reply)
	switch endpoint.StatusOf(err) {
	case 0:
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnauthorized, http.StatusForbidden: // an administrator's own
		return nil
	}
	p.info.Version, p.info.Seeds = reply.Version, reply.Deterministic
	return err
}

func (p *prober) models(ctx context.Context, want string) error {
	var reply struct {
		Data []struct {
			ID          string `json:"id"`
			Parent      string `json:"parent"`
			MaxModelLen int    `json:"max_model_len"`
		} `json:"data"`
	}
	if err := p.do(ctx, http.MethodGet, "/v1/models", nil, &reply); err != nil {
		return err
	}
	for _, m := range reply.Data {
		p.info.Models = append(p.info.Models, m.ID)
		if p.info.Model == "" && m.Parent == "" && (want == "" || m.ID == want) {
			p.info.Model, p.info.MaxModelLen = m.ID, m.MaxModelLen
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

// control asks a route that only takes POST for something else: 405 tells that
// it is there, and nothing happens.
func (p *prober) control(ctx context.Context, _ string) error {
	err := p.do(ctx, http.MethodGet, "/update_weights_from_disk", nil, nil)
	switch endpoint.StatusOf(err) {
	case http.StatusMethodNotAllowed:
		p.info.DevMode, p.info.Loads = true, []string{"disk"}
		return nil
	case 0:
		return err
	}
	return nil // not there, or not for us
}

var biasKeys = regexp.MustCompile(`logit_bias must has keys in \[0, (\d+)\]`)

// vocabulary favours a token that no model has; SGLang's refusal names the
// largest id. (A prompt with such a token could end a server that does not check it.)
func (p *prober) vocabulary(ctx context.Context, _ string) error {
	params := plain(1)
	params.LogitBias = map[string]float64{strconv.Itoa(math.MaxInt32): 0}
	req := generate{InputIDs: [][]int32{{0}}, SamplingParams: []samplingParams{params}, LogprobStartLen: -1}
	err := p.do(ctx, http.MethodPost, generatePath, req, nil)
	if s := endpoint.StatusOf(err); s == 0 || s != http.StatusBadRequest {
		return err
	}
	if m := biasKeys.FindStringSubmatch(err.Error()); m != nil {
		last, err := strconv.Atoi(m[1])
		if err == nil {
			p.info.Vocab = last + 1
		}
	}
	return nil
}

// logprobs samples at a temperature at which raw and processed log-probs lie
// far apart, and compares with the same tokens' prompt log-probs, which are raw
// in every mode.
func (p *prober) logprobs(ctx context.Context, _ string) error {
	const temperature, tokens, same = 2, 16, 0.2
	seed := int64(1)
	params := plain(tokens)
	params.Temperature, params.IgnoreEOS = temperature, true
	if p.info.Seeds {
		params.SamplingSeed = &seed
	}
	if p.retry.Attempt == 0 {
		p.retry.Attempt = answerLimit
	}
	prompt := []int32{0, 1}
	req := generate{InputIDs: [][]int32{prompt}, SamplingParams: []samplingParams{params}, ReturnLogprob: true, LogprobStartLen: -1}
	var reply []answer
	retry := p.retry
	retry.Tries = 1 // a server that is paused is not waited for again and again
	err := retry.Do(ctx, func(ctx context.Context) error { return p.e.Do(ctx, http.MethodPost, generatePath, req, &reply) })
	var late *endpoint.TimeoutError
	switch {
	case errors.As(err, &late):
		return p.cannot("did not generate %d tokens within %v", "if it was paused, let it go on: curl -X POST "+p.e.URL()+"/continue_generation", tokens, p.retry.Attempt)
	case err != nil:
		return err
	case len(reply) != 1 || reply[0].OutputIDs == nil || len(reply[0].OutputIDs) != len(reply[0].MetaInfo.OutputLogprobs.IDs) || len(reply[0].OutputIDs) == 0:
		return nil // no token ids or log-probs: the Generator will say so
	}
	p.info.TokenIDs = true
	given := reply[0].MetaInfo.OutputLogprobs.Logprobs
	scorer, err := NewScorer(p.e, Options{Retry: p.retry})
	if err != nil {
		return err
	}
	raw, err := scorer.Score(ctx, [][]int32{append(prompt, reply[0].OutputIDs...)})
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
