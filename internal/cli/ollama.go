package cli

import (
	"fmt"
	"time"

	"github.com/justrl/justrl/bridge"
	bridgeollama "github.com/justrl/justrl/bridge/ollama"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/ollama"
	"github.com/justrl/justrl/sampler/tokenizer"
	"github.com/justrl/justrl/updater"
)

// probeContext is in tokens: the default of an Ollama without a GPU.
const probeContext = 4096

// openOllama makes the parts of a run that may train on answers that are tokenized here.
func (s *server) openOllama(i sampler.Info) (f what, err error) {
	tok, err := tokenizer.Load(s.cfg.Model)
	if err != nil {
		return f, err
	}
	ends := tok.EOS()
	if len(ends) == 0 {
		return f, usage(fmt.Errorf("%s names no token that ends a sequence, and Ollama does not tell which did", s.cfg.Model))
	}
	f.hello = tok.Encode("Once upon a time")
	need, _ := contextOf(s.cfg)
	o := ollama.Options{
		Model: i.Model, Tokenizer: tok, Vocab: s.spec.Vocab, EndTokenID: ends[0],
		Context: max(need, longProbe), Retry: s.once(),
	}
	if i.MaxModelLen > 0 {
		o.Context = min(o.Context, i.MaxModelLen)
	}
	g, err := ollama.New(s.endpoint, o)
	if err != nil {
		return f, err
	}
	f.generator = g
	trial := o
	trial.Context = max(64, min(probeContext, i.MaxModelLen))     // a model that is loaded for others stays as it is
	if f.trial, err = ollama.New(s.endpoint, trial); err != nil { // the answers of which are in no statistics
		return f, err
	}
	o.Retry = s.patiently()
	if f.scorer, err = ollama.NewScorer(s.control, o, 0); err != nil {
		return f, err
	}
	f.publisher = func(run string, want []bridge.Tensor) (bridge.Publisher, error) {
		return bridgeollama.New(s.control, bridgeollama.Options{
			Model: i.Model, Run: run, Context: o.Context, Want: want, Inspector: inspector{}, Drain: time.Duration(s.cfg.Sampling.Patience),
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
