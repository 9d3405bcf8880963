package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/command"
	bridgesglang "github.com/justrl/justrl/bridge/sglang"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/llama"
	"github.com/justrl/justrl/sampler/sglang"
)

// isSGLang takes the route that names what the server was started with.
func isSGLang(ctx context.Context, e *endpoint.Endpoint) (bool, error) {
	for _, path := range []string{"/get_model_info", "/model_info"} { // the older name, and the newer
		var v struct {
			ModelPath string `json:"model_path"`
		}
		if ok, err := ask(ctx, e, path, &v); err != nil || ok && v.ModelPath != "" {
			return ok, err
		}
	}
	return false, nil
}

// isLlama takes llama-server's /props, which tells its defaults and its slots.
func isLlama(ctx context.Context, e *endpoint.Endpoint) (bool, error) {
	var v struct {
		Defaults map[string]any `json:"default_generation_settings"`
	}
	ok, err := ask(ctx, e, "/props", &v)
	return ok && v.Defaults != nil, err
}

func fitsSGLang(s *server, i sampler.Info) error {
	return s.fitsTokens(i, "start SGLang with --model-path of the run's model, and reach its control routes (/update_weights_from_disk)")
}

func fitsLlama(s *server, i sampler.Info) error {
	return s.fitsTokens(i, "give the program that restarts it on a snapshot: --sync "+config.SyncCommand+" --set publish.command=[…]")
}

// fitsTokens is nil if a server gives token ids, serves the run's vocabulary and
// takes weights; load says what to do where it takes none.
func (s *server) fitsTokens(i sampler.Info, load string) error {
	var errs []error
	cannot := func(what, hint string) {
		errs = append(errs, &sampler.CannotError{URL: s.endpoint.URL(), What: what, Hint: hint})
	}
	if !i.TokenIDs {
		cannot("gives no token ids with its answers", "use a newer version, and no proxy that leaves fields out")
	}
	if len(i.Loads) == 0 && s.cfg.Publish.Sync != config.SyncCommand {
		cannot("takes no new weights", load)
	}
	if i.Paused {
		cannot("generation is paused", "resume it")
	}
	if want := cmp.Or(s.spec.Vocab, i.Vocab); i.Vocab != 0 && i.Vocab != want {
		cannot(fmt.Sprintf("serves %s with a vocabulary of %d, the run's model has %d", i.Model, i.Vocab, want), "start it with the run's model")
	}
	return errors.Join(errs...)
}

func (s *server) openSGLang(i sampler.Info) (f what, err error) {
	f.hello = []int32{0, 1}
	o := sglang.Options{Vocab: s.spec.Vocab, MaxModelLen: i.MaxModelLen, Seeds: i.Seeds, Retry: s.once()}
	if s.cfg.Publish.Sync != config.SyncCommand { // who restarts it names its weights as they like
		o.Tag = s.sglangTag
	}
	if f.generator, err = sglang.New(s.endpoint, o); err != nil {
		return f, err
	}
	f.trial = f.generator
	o.Retry = s.patiently()
	if f.scorer, err = sglang.NewScorer(s.control, o); err != nil {
		return f, err
	}
	f.publisher = func(run string, want []bridge.Tensor) (bridge.Publisher, error) {
		if s.cfg.Publish.Sync == config.SyncCommand {
			return s.byCommand(want)
		}
		return bridgesglang.New(s.control, bridgesglang.Options{Run: run, Want: want, Inspector: inspector{}})
	}
	return f, nil
}

// sglangTag is what SGLang shows of a version's weights that this run has loaded.
func (s *server) sglangTag(version int64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bridgesglang.Tag(s.run, version)
}

func (s *server) openLlama(sampler.Info) (f what, err error) {
	f.hello = []int32{0, 1}
	o := llama.Options{Vocab: s.spec.Vocab, Retry: s.once()}
	if f.generator, err = llama.New(s.endpoint, o); err != nil {
		return f, err
	}
	f.trial = f.generator
	o.Retry = s.patiently()
	if f.scorer, err = llama.NewScorer(s.control, o); err != nil {
		return f, err
	}
	f.publisher = func(_ string, want []bridge.Tensor) (bridge.Publisher, error) { return s.byCommand(want) }
	return f, nil
}

// byCommand loads through the user's own program, and waits until the server
// is there again.
func (s *server) byCommand(want []bridge.Tensor) (bridge.Publisher, error) {
	return command.New(command.Options{
		Argv: s.cfg.Publish.Command, Server: s.endpoint.URL(), Want: want, Inspector: inspector{},
		Ready: func(ctx context.Context) error {
			d, err := discover(ctx, s.control)
			if err == nil {
				_, err = d.probe(ctx, s.control, s.cfg.Served, probing)
			}
			return err
		},
	})
}
