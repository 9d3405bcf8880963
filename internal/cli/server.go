package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/tokenizer"
	"github.com/justrl/justrl/sampler/vllm"
	"github.com/justrl/justrl/updater/model"
)

// server is a deployment that a run samples from and loads weights into. It
// answers as the server that [server.connect] found there last: after a restart
// that may be another one.
type server struct {
	name     string // for the records: its URL, or "embedded", whose port is another one each time
	endpoint *endpoint.Endpoint
	control  *endpoint.Endpoint // the same server, for what must not wait behind rollouts
	spec     model.Spec
	cfg      config.Config
	notify   func(error, time.Duration)
	embedded *embedded          // nil if it is somebody else's
	agent    *endpoint.Endpoint // beside it, to load for it; nil without one
	down     error              // why it was not there when the run began

	mu  sync.Mutex
	is  what
	run string // that its weights are of; "" before they were asked for
}

// what is what a probe has found at a server's address, and how it is asked.
type what struct {
	info      sampler.Info
	way       string // that weights go in, as --sync names it
	generator sampler.Generator
	trial     sampler.Generator // and hello, a prompt to try it with
	hello     []int32
	scorer    bridge.Scorer
	// publisher makes what loads weights of a run into it; want are the tensors of its model.
	publisher func(run string, want []bridge.Tensor) (bridge.Publisher, error)
}

// openServers connects to all servers, or the embedded one if none is named,
// and makes sure, before anything is written, that they can do what the run
// needs. A server that does not answer is down, as long as another is there;
// one that cannot train is a mistake.
func openServers(ctx context.Context, c *cli.Context, cfg config.Config, notify func(error, time.Duration)) (all servers, err error) {
	spec, weights, err := model.Open(cfg.Model) // of the weights only the headers are read
	if err != nil {
		return nil, err
	}
	if err := weights.Close(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, all.Close())
		}
	}()
	add := func(name, url string, how endpoint.Options, e *embedded) error {
		s := &server{spec: spec, name: name, cfg: cfg, notify: notify, embedded: e}
		all = append(all, s)
		if s.endpoint, err = endpoint.New(url, how); err != nil {
			return usage(err)
		}
		s.control = s.endpoint.Apart()
		if e == nil {
			s.agent, _, err = agentOf(c, cfg, url)
		}
		return usage(err)
	}
	if len(cfg.Server) == 0 {
		e, err := startForRun(ctx, cfg, spec)
		if err != nil {
			return nil, err
		}
		if err := add(embeddedName, e.url, endpoint.Options{}, e); err != nil { // which needs no key
			return all, err
		}
		return all, all.connect(ctx)
	}
	how, err := access(c)
	if err != nil {
		return nil, usage(err)
	}
	for _, url := range cfg.Server {
		if err := add(url, url, how, nil); err != nil {
			return all, err
		}
	}
	return all, all.connect(ctx)
}

// sayPlans says of each server that is there what it is and what is done with it.
func (all servers) sayPlans(say func(format string, args ...any)) {
	for _, s := range all {
		if f := s.found(); s.embedded == nil && f.generator != nil {
			through := ""
			if s.agent != nil {
				through = s.agent.URL()
			}
			say("%s: %s %s; %s", s.name, f.info.Dialect, cmp.Or(f.info.Version, "of an unknown version"), loading(s.endpoint.Loopback(), f.info, f.way, through, s.cfg))
		}
	}
}

// servers are those of a run.
type servers []*server

// connect asks all of them what they are.
func (all servers) connect(ctx context.Context) error {
	errs := make([]error, len(all))
	var g errgroup.Group
	for i, s := range all {
		g.Go(func() error {
			_, errs[i] = s.connect(ctx, false)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	var down, mistakes []error
	for i, err := range errs {
		switch {
		case err == nil:
		case endpoint.Retryable(err):
			all[i].down = err
			down = append(down, err)
		default:
			mistakes = append(mistakes, err)
		}
	}
	switch {
	case len(mistakes) > 0:
		return inOneLine(mistakes)
	case len(down) == len(all):
		return inOneLine(down)
	}
	return nil
}

// inOneLine joins errors as a user reads them.
func inOneLine(errs []error) error {
	err := errs[0]
	for _, e := range errs[1:] {
		err = fmt.Errorf("%w; %w", err, e)
	}
	return err
}

// up is the first that is there.
func (all servers) up() *server {
	for _, s := range all {
		if s.down == nil {
			return s
		}
	}
	return nil
}

// Close ends the connections, and the embedded server if it was that.
func (all servers) Close() (err error) {
	for _, s := range all {
		err = errors.Join(err, s.Close())
	}
	return err
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

// connect asks the address what is there now and makes sure that it can do what
// the run needs. paused: that it is paused is no reason against it, as a load of
// ours that failed has left it so.
func (s *server) connect(ctx context.Context, paused bool) (f what, err error) {
	if f, err = s.open(ctx, paused); err != nil {
		return f, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.is = f
	return f, nil
}

// open finds out what the server speaks, and refuses what the run cannot use.
func (s *server) open(ctx context.Context, paused bool) (f what, err error) {
	d := vllmDialect()
	if s.embedded == nil {
		if d, err = discover(ctx, s.control); err != nil {
			return f, fmt.Errorf("probe server: %w", err)
		}
	}
	i, err := d.probe(ctx, s.control, s.cfg.Served, probing)
	if err != nil {
		return f, err
	}
	ours := paused && i.Paused
	if ours { // then it was asked for no tokens; it gave them before
		i.Paused, i.TokenIDs = false, true
	}
	if s.agent != nil {
		if i, err = s.reached(ctx, i); err != nil {
			return f, err
		}
	}
	way, err := s.check(d, i)
	if err != nil {
		return f, err
	}
	if f, err = d.open(s, i); err != nil {
		return f, err
	}
	f.info, f.way = i, way
	if !ours && s.embedded == nil { // one that is paused would not answer
		_, err = behaves(ctx, s.endpoint.URL(), f)
	}
	return f, err
}

// stream is how answers come where sampling.stream wants them in pieces; nil is whole.
func (s *server) stream() (*vllm.Stream, error) {
	if !s.cfg.Sampling.Stream {
		return nil, nil
	}
	tok, err := tokenizer.Load(s.cfg.Model)
	if err != nil {
		return nil, err
	}
	return &vllm.Stream{Decode: func(ids []int32) string { return tok.Decode(ids, true) }}, nil // as skip_special_tokens has it
}

// serves notes that weights of a run are loaded into it.
func (s *server) serves(run string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run = run
}

func (s *server) servedRun() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

func (s *server) found() what {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is
}

// Generate implements [sampler.Generator].
func (s *server) Generate(ctx context.Context, r sampler.Request) ([]sampler.Rollout, error) {
	g := s.found().generator
	if g == nil {
		return nil, s.down
	}
	return g.Generate(ctx, r)
}

// once is how rollouts are asked for: what failed may have been a restart, and
// then the weights are not the run's. The fleet decides what becomes of it.
func (s *server) once() endpoint.Retry {
	return endpoint.Retry{Tries: 1, Attempt: time.Duration(s.cfg.Sampling.RequestTimeout)}
}

// patiently is how the canary asks, whose verdict does not depend on what was there before.
func (s *server) patiently() endpoint.Retry {
	return endpoint.Retry{Tries: 4, Attempt: time.Duration(s.cfg.Sampling.RequestTimeout), Patience: time.Duration(s.cfg.Sampling.Patience), Notify: s.notify}
}

// probing: a server that is not there at the start is a mistake, not an
// outage, and one that does not answer is none.
var probing = endpoint.Retry{Tries: 1, Attempt: 30 * time.Second}

// Close ends the connections, and the embedded server if it was that.
func (s *server) Close() error {
	if s.endpoint != nil {
		s.endpoint.Close()
		s.control.Close()
	}
	if s.agent != nil {
		s.agent.Close()
	}
	if s.embedded != nil {
		return s.embedded.Close()
	}
	return nil
}
