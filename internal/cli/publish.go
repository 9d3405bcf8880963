package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/justrl/justrl/bridge"
	bridgevllm "github.com/justrl/justrl/bridge/vllm"
	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/updater/safetensors"
)

// bridge wires what takes the trainer's weights live in the server. run is the
// run's id.
func (s *server) bridge(ctx context.Context, cfg config.Config, run string, t trainer, d *data) (*bridge.Snapshots, *bridge.Bridge, error) {
	want, err := inspector{}.Tensors(cfg.Model)
	if err != nil {
		return nil, nil, err
	}
	want = inDType(want, cfg.Trainer.DType)
	direct, err := bridgevllm.New(s.endpoint, bridgevllm.Options{Model: s.info.Model, Run: run, Want: want, Inspector: inspector{}})
	if err != nil {
		return nil, nil, err
	}
	publisher, err := s.throughAgent(run, want, direct)
	if err != nil {
		return nil, nil, err
	}
	probes, err := s.probes(ctx, cfg, d)
	if err != nil {
		return nil, nil, fmt.Errorf("choose the canary's probes: %w", err)
	}
	b, err := bridge.New(bridge.Options{
		Deployments: []bridge.Deployment{{Name: s.name, Publisher: publisher, Server: s.scorer}},
		Trainer:     trainerScorer{t},
		Probes:      probes,
	})
	if err != nil {
		return nil, nil, err
	}
	root := filepath.Join(cfg.Out, "snapshots")
	if cfg.Publish.Dir != "" {
		root = filepath.Join(cfg.Publish.Dir, "run-"+run) // other runs may publish there too
	}
	return &bridge.Snapshots{Root: root, Exporter: t, Inspector: inspector{}, Want: want, Keep: cfg.Publish.Keep}, b, nil
}

const (
	probeTokens = 64  // of each probe's answer
	longProbe   = 512 // tokens; beyond a block of any server's prefix cache
)

// probes are the first problems with the answers that the server gives to
// them, where training moves log-probs most, and all of them end to end: one
// sequence longer than a block of the prefix cache.
func (s *server) probes(ctx context.Context, cfg config.Config, d *data) ([][]int32, error) {
	limit := longProbe
	if s.info.MaxModelLen > 0 {
		limit = min(limit, s.info.MaxModelLen-1) // the server adds a token of its own
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
			prompt = prompt[:limit/2]
		}
		answer, err := s.generator.Generate(ctx, sampler.Request{
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
