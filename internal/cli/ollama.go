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
func (s *server) openOllama(ctx context.Context) (f what, err error) {
	if f.info, err = ollama.Probe(ctx, s.endpoint, s.cfg.Served, probing); err != nil {
		return f, err
	}
	if err := errors.Join(ollama.ForTraining(f.info, s.endpoint.URL(), s.spec.Vocab, s.cfg.Sampling.AllowRetokenized), s.roomFor(f.info), recomputes(s.cfg)); err != nil {
		return f, err
	}
	tok, err := tokenizer.Load(s.cfg.Model)
	if err != nil {
		return f, err
	}
	ends := tok.EOS()
	if len(ends) == 0 {
		return f, usage(fmt.Errorf("%s names no token that ends a sequence, and Ollama does not tell which did", s.cfg.Model))
	}
	need, _ := contextOf(s.cfg)
	o := ollama.Options{
		Model: f.info.Model, Tokenizer: tok, Vocab: s.spec.Vocab, EndTokenID: ends[0],
		Context: max(need, longProbe), Retry: s.once(),
	}
	if f.info.MaxModelLen > 0 {
		o.Context = min(o.Context, f.info.MaxModelLen)
	}
	g, err := ollama.New(s.endpoint, o)
	if err != nil {
		return f, err
	}
	f.generator = g
	o.Retry = s.patiently()
	if f.scorer, err = ollama.NewScorer(s.endpoint, o, 0); err != nil {
		return f, err
	}
	f.publisher = func(run string, want []bridge.Tensor) (bridge.Publisher, error) {
		return bridgeollama.New(s.endpoint, bridgeollama.Options{
			Model: f.info.Model, Run: run, Context: o.Context, Want: want, Inspector: inspector{}, Drain: time.Duration(s.cfg.Sampling.Patience),
		})
	}
	return f, nil
}

// sayRetokenized says how exact the answers were, where tokens had to be told from text.
func (all servers) sayRetokenized(say func(format string, args ...any)) {
	for _, s := range all {
		g, ok := s.found().generator.(*ollama.Generator)
		if !ok {
			continue
		}
		n := g.Stats()
		say("%s, retokenized: of %d answers the tokens of %d could not be told, and were asked for again under another seed; %d were sampled as other tokens than their text encodes to, and are trained on as sampled",
			s.name, n.Answers, n.Mismatched, n.Uncanonical)
	}
}

// recomputes refuses to take old log-probs from a server that gives none.
func recomputes(cfg config.Config) error {
	if cfg.Update.OldLogprobs != updater.OldLogprobsServer {
		return nil
	}
	return usage(fmt.Errorf("update.old_logprobs is %s, and Ollama does not give the log-probs of whole answers: set update.old_logprobs=%s", updater.OldLogprobsServer, updater.OldLogprobsRecompute))
}
