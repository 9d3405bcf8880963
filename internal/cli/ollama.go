package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/justrl/justrl/bridge"
	bridgeollama "github.com/justrl/justrl/bridge/ollama"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler/ollama"
	"github.com/justrl/justrl/sampler/tokenizer"
	"github.com/justrl/justrl/updater"
)

// openOllama makes the server's parts for an Ollama, if the run may train on answers
// that are tokenized here.
func (s *server) openOllama(ctx context.Context, cfg config.Config, notify func(error, time.Duration)) (err error) {
	if s.info, err = ollama.Probe(ctx, s.endpoint, cfg.Served, probing); err != nil {
		return err
	}
	if err := errors.Join(ollama.ForTraining(s.info, s.endpoint.URL(), s.spec.Vocab, cfg.Sampling.AllowRetokenized), s.roomFor(cfg), recomputes(cfg)); err != nil {
		return err
	}
	tok, err := tokenizer.Load(cfg.Model)
	if err != nil {
		return err
	}
	ends := tok.EOS()
	if len(ends) == 0 {
		return usage(fmt.Errorf("%s names no token that ends a sequence, and Ollama does not tell which did", cfg.Model))
	}
	need, _ := contextOf(cfg)
	o := ollama.Options{
		Model: s.info.Model, Tokenizer: tok, Vocab: s.spec.Vocab, EndTokenID: ends[0],
		Context: max(need, longProbe), Retry: retries(cfg, notify),
	}
	if s.info.MaxModelLen > 0 {
		o.Context = min(o.Context, s.info.MaxModelLen)
	}
	s.context = o.Context
	if s.ollama, err = ollama.New(s.endpoint, o); err != nil {
		return err
	}
	s.generator = s.ollama
	s.scorer, err = ollama.NewScorer(s.endpoint, o, 0)
	return err
}

// sayRetokenized says how exact the answers were, where tokens had to be told from text.
func (s *server) sayRetokenized(say func(format string, args ...any)) {
	if s.ollama == nil {
		return
	}
	n := s.ollama.Stats()
	say("retokenized: of %d answers the tokens of %d could not be told, and were asked for again under another seed; %d were sampled as other tokens than their text encodes to, and are trained on as sampled",
		n.Answers, n.Mismatched, n.Uncanonical)
}

// recomputes refuses to take old log-probs from a server that gives none.
func recomputes(cfg config.Config) error {
	if cfg.Update.OldLogprobs != updater.OldLogprobsServer {
		return nil
	}
	return usage(fmt.Errorf("update.old_logprobs is %s, and Ollama does not give the log-probs of whole answers: set update.old_logprobs=%s", updater.OldLogprobsServer, updater.OldLogprobsRecompute))
}

func ollamaPublisher(s *server, cfg config.Config, run string, want []bridge.Tensor) (bridge.Publisher, error) {
	return bridgeollama.New(s.endpoint, bridgeollama.Options{
		Model: s.info.Model, Run: run, Context: s.context, Want: want, Inspector: inspector{}, Drain: time.Duration(cfg.Sampling.Patience),
	})
}
