package cli

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/justrl/justrl/bridge"
	bridgevllm "github.com/justrl/justrl/bridge/vllm"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/updater/safetensors"
)

// snapshots are where the trainer's weights are published for the servers. run
// is the run's id.
func snapshots(cfg config.Config, run string, want []bridge.Tensor, t trainer) *bridge.Snapshots {
	root := filepath.Join(cfg.Out, "snapshots")
	if cfg.Publish.Dir != "" {
		root = filepath.Join(cfg.Publish.Dir, "run-"+run) // other runs may publish there too
	}
	return &bridge.Snapshots{Root: root, Exporter: t, Inspector: inspector{}, Want: want, Keep: cfg.Publish.Keep}
}

// deployment is the server as the bridge of a run sees it: what was found there last.
func (s *server) deployment(run string, want []bridge.Tensor) (bridge.Deployment, error) {
	s.mu.Lock()
	f := s.is
	s.mu.Unlock()
	if f.generator == nil {
		return bridge.Deployment{Name: s.name, Down: s.down}, nil
	}
	s.serves(run)
	p, err := f.publisher(run, want)
	if err == nil {
		p, err = s.throughAgent(run, want, p)
	}
	return bridge.Deployment{Name: s.name, Publisher: p, Server: f.scorer}, err
}

const (
	probeTokens = 64  // of each probe's answer
	longProbe   = 512 // tokens; beyond a block of any server's prefix cache
)

// probes are the first problems with the answers that the server gives to
// them, where training moves log-probs most, and all of them end to end: one
// sequence longer than a block of the prefix cache. All servers score the same.
func (from servers) probes(ctx context.Context, cfg config.Config, d *data) ([][]int32, error) {
	limit := longProbe
	for _, s := range from {
		if most := s.found().info.MaxModelLen; most > 0 {
			limit = min(limit, most-1) // the server adds a token of its own
		}
	}
	var probes [][]int32
	var all []int32
	for i := int64(0); i < d.source.Len() && len(probes) < cfg.Publish.Probes; i++ {
		p, err := d.source.Problem(ctx, i)
		if err != nil {
			return nil, err
		}
		prompt, err := d.prompt(p)
		if err != nil {
			return nil, err
		}
		if len(prompt)+probeTokens > limit {
			prompt = prompt[:min(len(prompt), limit/2)] // the answer has the other half
		}
		answer, err := from.up().Generate(ctx, sampler.Request{
			PromptTokenIDs: prompt, Count: 1,
			Params: sampler.Params{N: 1, TopP: 1, TopK: -1, MaxTokens: min(probeTokens, limit/2)},
		})
		if err != nil {
			return nil, err
		}
		probe := append(append([]int32(nil), prompt...), answer[0].TokenIDs...)
		probes, all = append(probes, probe), append(all, probe...)
	}
	return append(probes, all[:min(len(all), limit)]), nil
}

// trainerScorer is the updater as the canary sees it.
type trainerScorer struct{ t trainer }

func (s trainerScorer) Score(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	scores, err := s.t.Score(ctx, seqs, 1)
	if err != nil {
		return nil, err
	}
	out := make([][]float32, len(scores))
	for i, sc := range scores {
		out[i] = sc.Logprobs
	}
	return out, nil
}

// openWeights opens a snapshot for a publisher that sends it.
func openWeights(dir string) (bridgevllm.Weights, error) { return safetensors.Open(dir) }

// inspector reads the weights of a folder for the bridge.
type inspector struct{}

func (inspector) Tensors(dir string) (tensors []bridge.Tensor, err error) {
	set, err := safetensors.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	for _, name := range set.Names() {
		info, _ := set.Info(name)
		tensors = append(tensors, bridge.Tensor{Name: name, DType: info.DType, Shape: info.Shape})
	}
	return tensors, nil
}

func (inspector) SHA256(dir string) (sum string, err error) {
	set, err := safetensors.Open(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	return set.SHA256()
}

// inDType is what a trainer that writes another dtype than the model's makes of it.
func inDType(tensors []bridge.Tensor, dtype string) []bridge.Tensor {
	name, ok := map[string]string{"float32": "F32", "bfloat16": "BF16"}[dtype]
	if !ok {
		return tensors
	}
	for i := range tensors {
		tensors[i].DType = name
	}
	return tensors
}
