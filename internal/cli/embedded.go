package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/guard"
	"github.com/justrl/justrl/sampler/localserver"
	"github.com/justrl/justrl/sampler/tokenizer"
	"github.com/justrl/justrl/updater/engine"
	"github.com/justrl/justrl/updater/model"
)

// embeddedOptions say what an embedded server serves, and how.
type embeddedOptions struct {
	model     string // folder
	names     []string
	listen    string // host:port; port 0 takes a free one
	apiKey    string
	context   int   // tokens; 0 is what the model allows, as far as the cache has room
	sequences int   // samples that run at a time
	cache     int64 // bytes for keys and values
	threads   int
	processed bool // log-probs of the distribution that is drawn from
	batched   bool // matrix products over the whole batch
}

// decoder is an engine.Model with what the command line needs beside it.
type decoder interface {
	engine.Model
	MaxLen() int
	Close() error
}

// embedded is a running embedded server.
type embedded struct {
	url     string
	stop    context.CancelFunc
	group   errgroup.Group
	done    chan struct{} // closed when it no longer serves
	engine  *engine.Engine
	decoder decoder
}

// startEmbedded loads a model and serves it; it answers when startEmbedded
// returns. The caller closes it. It ends by itself only on an error of the
// listener, which Close returns.
func startEmbedded(ctx context.Context, o embeddedOptions) (s *embedded, err error) {
	tok, err := tokenizer.Load(o.model)
	if err != nil {
		return nil, err
	}
	spec, err := model.Load(o.model)
	if err != nil {
		return nil, err
	}
	defaults, err := localserver.ReadDefaults(o.model)
	if err != nil {
		return nil, err
	}
	listener, err := guard.Listen(ctx, o.listen, o.apiKey != "")
	if err != nil {
		return nil, usage(fmt.Errorf("--listen %s: %w", o.listen, err))
	}
	s = &embedded{url: "http://" + listener.Addr().String(), stop: func() {}, done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, listener.Close(), s.Close())
			s = nil
		}
	}()
	if s.decoder, err = openDecoder(o, fit(o, spec)); err != nil {
		return s, err
	}
	eos := tok.EOS()
	s.engine, err = engine.New(s.decoder, engine.Options{EOS: eos, MaxLen: s.decoder.MaxLen(), MaxSequences: o.sequences, Processed: o.processed})
	if err != nil {
		return s, err
	}
	root, err := filepath.Abs(o.model)
	if err != nil {
		return s, err
	}
	server, err := localserver.New(localserver.Options{
		Engine:    &localEngine{s.engine, localserver.Model{Vocab: spec.Vocab, MaxLen: s.decoder.MaxLen(), EOS: eos}},
		Tokenizer: localserver.FromModel(tok), Models: o.names, Root: root, APIKey: o.apiKey, KeyEverywhere: !guard.Loopback(o.listen), DevMode: true, Defaults: defaults,
	})
	if err != nil {
		return s, err
	}
	var serving context.Context
	serving, s.stop = context.WithCancel(context.WithoutCancel(ctx)) // a run ends its requests first
	s.group.Go(func() error {
		defer close(s.done)
		return server.Serve(serving, listener)
	})
	return s, nil
}

// fit is the context to serve: what was asked for, else as much of what the
// model allows as the cache holds for one sequence beside others.
func fit(o embeddedOptions, spec model.Spec) int {
	if o.context > 0 {
		return o.context
	}
	perToken := int64(spec.Layers) * 2 * 4 * int64(spec.KVHeads*spec.HeadDim)
	room := o.cache/perToken - 2*engine.BlockTokens
	return int(max(2, min(int64(spec.MaxPositions), room)))
}

// Close ends the server: requests under way are cancelled.
func (s *embedded) Close() error {
	s.stop()
	err := s.group.Wait()
	if s.engine != nil {
		err = errors.Join(err, s.engine.Close())
	}
	if s.decoder != nil {
		err = errors.Join(err, s.decoder.Close())
	}
	return err
}
