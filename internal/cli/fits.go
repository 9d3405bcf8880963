package cli

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/justrl/justrl/bridge"
	bridgevllm "github.com/justrl/justrl/bridge/vllm"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/updater"
)

// check is nil if the run can train against the server, as far as what a probe
// has found tells. way is how its weights would get there, "" if in none.
func (s *server) check(d dialect, i sampler.Info) (way string, err error) {
	way, noWay := s.way(i)
	return way, errors.Join(d.fits(s, i), noWay, s.program(), s.takesAgent(d), s.sameTensors(i), s.roomFor(i), s.rightLogprobs(i))
}

// program is nil if the program that is to load the weights, if one is, is there.
func (s *server) program() error {
	p := s.cfg.Publish
	if p.Sync != config.SyncCommand || len(p.Command) == 0 {
		return nil
	}
	if _, err := exec.LookPath(p.Command[0]); err != nil {
		return usage(fmt.Errorf("publish.command: %w", err))
	}
	return nil
}

// way is how weights get into the server: what publish.sync says, else the best
// that it offers. That a server offers none is for its dialect to explain.
func (s *server) way(i sampler.Info) (string, error) {
	far := !s.endpoint.Loopback() && s.agent == nil // an agent is beside it
	switch want := s.cfg.Publish.Sync; {
	case want == config.SyncCommand:
		return want, nil
	case want == config.SyncAuto:
		for _, w := range i.Loads {
			if w != bridgevllm.WayTransfer || !far {
				return w, nil
			}
		}
		return "", nil
	case want == bridgevllm.WayTransfer && far:
		return "", &sampler.CannotError{
			URL: s.endpoint.URL(), What: "is on another machine, and --sync transfer is for servers on this one",
			Hint: "use a folder that both see (--sync files), or justrl agent beside it",
		}
	case slices.Contains(i.Loads, want):
		return want, nil
	default:
		offers := "it takes weights in no way"
		if len(i.Loads) > 0 {
			offers = "use --sync " + config.SyncAuto + ", or what it offers: " + strings.Join(i.Loads, ", ")
		}
		return "", &sampler.CannotError{URL: s.endpoint.URL(), What: "cannot be loaded by --sync " + want, Hint: offers}
	}
}

// output is the one tensor that a model with tied weights may or may not have.
const output = "lm_head.weight"

// sameTensors compares the folder that the server was started with, where it is
// one that this machine sees, with the run's model, whatever the dtypes.
func (s *server) sameTensors(i sampler.Info) error {
	if s.cfg.Model == "" || !filepath.IsAbs(i.Root) {
		return nil
	}
	have, err := shapesOf(i.Root)
	if err != nil {
		return nil //nolint:nilerr // not a folder of this machine, or not of the Hugging Face layout
	}
	want, err := shapesOf(s.cfg.Model)
	if err != nil {
		return err
	}
	err = bridge.CheckTensors(want, have)
	if err == nil {
		return nil
	}
	return &sampler.CannotError{
		URL:  s.endpoint.URL(),
		What: fmt.Sprintf("was started with %s, which is another model than %s: %s", i.Root, s.cfg.Model, strings.TrimPrefix(err.Error(), bridge.ErrTensors.Error()+": ")),
		Hint: "start it with the run's model",
	}
}

// shapesOf are the tensors of a folder, without their dtypes and without a tied output.
func shapesOf(dir string) ([]bridge.Tensor, error) {
	all, err := inspector{}.Tensors(dir)
	all = slices.DeleteFunc(all, func(t bridge.Tensor) bool { return t.Name == output })
	for i := range all {
		all[i].DType = ""
	}
	return all, err
}

// rightLogprobs refuses log-probs of another temperature than the trainer's.
func (s *server) rightLogprobs(i sampler.Info) error {
	cfg := s.cfg
	gated := cfg.Mismatch != config.Mismatch{} || cfg.Update.OldLogprobs == updater.OldLogprobsServer
	if cfg.Sampling.Temperature == 1 || i.LogprobsMode != sampler.LogprobsRaw || !gated {
		return nil
	}
	return &sampler.CannotError{
		URL:  s.endpoint.URL(),
		What: fmt.Sprintf("gives log-probs before temperature, and sampling.temperature is %g", cfg.Sampling.Temperature),
		Hint: "start it with --logprobs-mode processed_logprobs",
	}
}

// roomFor checks the server's context: vLLM refuses or cuts what goes beyond it.
func (s *server) roomFor(i sampler.Info) error {
	need, key := contextOf(s.cfg)
	if i.MaxModelLen == 0 || i.MaxModelLen >= need {
		return nil
	}
	return &sampler.CannotError{
		URL:  s.endpoint.URL(),
		What: fmt.Sprintf("has a context of %d tokens, the run's prompts and answers need %d", i.MaxModelLen, need),
		Hint: fmt.Sprintf("start it with --max-model-len %d, or lower %s", need, key),
	}
}
