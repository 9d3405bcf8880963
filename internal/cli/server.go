package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/vllm"
	"github.com/justrl/justrl/updater"
	"github.com/justrl/justrl/updater/model"
)

// server is the deployment that a run samples from and loads weights into.
type server struct {
	name      string // for the records: its URL, or "embedded", whose port is another one each time
	endpoint  *endpoint.Endpoint
	info      sampler.Info
	generator *vllm.Generator
	scorer    *vllm.Scorer
	spec      model.Spec
	embedded  *embedded          // nil if it is somebody else's
	agent     *endpoint.Endpoint // beside it, to load for it; nil without one
}

// openServer connects, to the embedded server if no other is named, and makes
// sure, before anything is written, that the server can do what the run needs.
func openServer(ctx context.Context, c *cli.Context, cfg config.Config, notify func(error, time.Duration)) (*server, error) {
	spec, weights, err := model.Open(cfg.Model) // of the weights only the headers are read
	if err != nil {
		return nil, err
	}
	if err := weights.Close(); err != nil {
		return nil, err
	}
	s := &server{spec: spec, name: embeddedName}
	var url string
	var how endpoint.Options // the embedded server needs none
	if len(cfg.Server) > 0 {
		s.name, url = cfg.Server[0], cfg.Server[0]
		if how, err = access(c); err != nil {
			return nil, usage(err)
		}
		if s.agent, err = agentOf(c, cfg, url); err != nil {
			return nil, usage(err)
		}
	} else {
		if s.embedded, err = startForRun(ctx, cfg, spec); err != nil {
			return nil, err
		}
		url = s.embedded.url
	}
	if s.endpoint, err = endpoint.New(url, how); err != nil {
		return nil, errors.Join(usage(err), s.Close())
	}
	if err := s.open(ctx, cfg, notify); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// embeddedName is what records call the embedded server.
const embeddedName = "embedded"

// startForRun starts the embedded server with what the run needs.
func startForRun(ctx context.Context, cfg config.Config, spec model.Spec) (*embedded, error) {
	need, key := contextOf(cfg)
	if need > spec.MaxPositions {
		return nil, usage(fmt.Errorf("the run's prompts and answers need a context of %d tokens, %s has max_position_embeddings %d: lower %s or sampling.max_prompt_tokens", need, cfg.Model, spec.MaxPositions, key))
	}
	return startEmbedded(ctx, embeddedOptions{
		model: cfg.Model, names: []string{filepath.Base(cfg.Model)}, listen: "127.0.0.1:0", context: need,
		sequences: cfg.Engine.Sequences, cache: int64(cfg.Engine.CacheMiB) << 20, threads: cfg.Trainer.Threads,
		processed: cfg.Sampling.Temperature != 1,
	})
}

// contextOf is how many tokens a prompt and its answer can have, and the key
// that decides over the answer.
func contextOf(cfg config.Config) (need int, key string) {
	answer, key := cfg.Sampling.MaxTokens, "sampling.max_tokens"
	if v := cfg.Validation; len(v.Data) > 0 && v.MaxTokens > answer {
		answer, key = v.MaxTokens, "validation.max_tokens"
	}
	return cfg.Sampling.MaxPromptTokens + answer, key
}

func (s *server) open(ctx context.Context, cfg config.Config, notify func(error, time.Duration)) (err error) {
	if s.info, err = vllm.Probe(ctx, s.endpoint, cfg.Served, probing); err != nil {
		return err
	}
	if err := vllm.ForTraining(s.info, s.endpoint.URL(), s.spec.Vocab); err != nil {
		return err
	}
	if err := errors.Join(s.roomFor(cfg), s.rightLogprobs(cfg)); err != nil {
		return err
	}
	o := vllm.Options{
		Model: s.info.Model, Vocab: s.spec.Vocab,
		Retry: endpoint.Retry{Attempt: time.Duration(cfg.Sampling.RequestTimeout), Patience: time.Duration(cfg.Sampling.Patience), Notify: notify},
	}
	if s.generator, err = vllm.New(s.endpoint, o); err != nil {
		return err
	}
	s.scorer, err = vllm.NewScorer(s.endpoint, o)
	return err
}

// probing: a server that is not there at the start is a mistake, not an
// outage, and one that does not answer is none.
var probing = endpoint.Retry{Tries: 1, Attempt: 30 * time.Second}

// rightLogprobs refuses log-probs of another temperature than the trainer's.
func (s *server) rightLogprobs(cfg config.Config) error {
	gated := cfg.Mismatch != config.Mismatch{} || cfg.Update.OldLogprobs == updater.OldLogprobsServer
	if cfg.Sampling.Temperature == 1 || s.info.LogprobsMode != sampler.LogprobsRaw || !gated {
		return nil
	}
	return &sampler.CannotError{
		URL:  s.endpoint.URL(),
		What: fmt.Sprintf("gives log-probs before temperature, and sampling.temperature is %g", cfg.Sampling.Temperature),
		Hint: "start it with --logprobs-mode processed_logprobs",
	}
}

// roomFor checks the server's context: vLLM refuses or cuts what goes beyond it.
func (s *server) roomFor(cfg config.Config) error {
	need, key := contextOf(cfg)
	if s.info.MaxModelLen == 0 || s.info.MaxModelLen >= need {
		return nil
	}
	return &sampler.CannotError{
		URL:  s.endpoint.URL(),
		What: fmt.Sprintf("has a context of %d tokens, the run's prompts and answers need %d", s.info.MaxModelLen, need),
		Hint: fmt.Sprintf("start it with --max-model-len %d, or lower %s", need, key),
	}
}

// Close ends the connections, and the embedded server if it was that.
func (s *server) Close() error {
	if s.endpoint != nil {
		s.endpoint.Close()
	}
	if s.agent != nil {
		s.agent.Close()
	}
	if s.embedded != nil {
		return s.embedded.Close()
	}
	return nil
}
