package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/justrl/justrl/updater"
)

// VerifierStrictBox is the reward of the paper: the last \boxed{…} equals the ground truth as a string.
const VerifierStrictBox = "strict-box"

// DefaultPreset is what a run starts from when no preset is named.
const DefaultPreset = "justrl-deepseek-1.5b"

// preset is a named starting point.
type preset struct {
	name, about string
	change      func(*Config)
}

// presets returns them in the order in which they are listed. The two of the
// paper differ in nothing but the model they are meant for and how long they ran.
func presets() []preset {
	return []preset{
		{"justrl-deepseek-1.5b", "the paper's run on DeepSeek-R1-Distill-Qwen-1.5B", func(*Config) {}},
		{"justrl-nemotron-1.5b", "the paper's run on OpenMath-Nemotron-1.5B: the same hyperparameters", func(c *Config) { c.Steps = 3440 }},
		{"tiny-cpu", "the shipped arithmetic policy on two CPU cores: the same recipe, smaller and with a larger learning rate", tinyCPU},
	}
}

// Presets lists each preset's name with a line about it.
func Presets() [][2]string {
	var list [][2]string
	for _, p := range presets() {
		list = append(list, [2]string{p.name, p.about})
	}
	return list
}

// Preset returns the configuration of a preset with every default filled in.
func Preset(name string) (Config, error) {
	all := presets()
	i := slices.IndexFunc(all, func(p preset) bool { return p.name == name })
	if i < 0 {
		var names []string
		for _, p := range all {
			names = append(names, p.name)
		}
		return Config{}, fmt.Errorf("unknown preset %q; there are: %s", name, strings.Join(names, ", "))
	}
	c := paper()
	all[i].change(&c)
	c.Preset = name
	return c, nil
}

// paper is the recipe of arXiv 2512.16649, section 3.
func paper() Config {
	update := updater.DefaultConfig()
	update.Recompute = true // as the authors' run; 32k tokens of activations fit no GPU
	return Config{
		Steps: 4380,
		Seed:  1,
		Sampling: Sampling{
			Batch: 256, N: 8, Temperature: 1, MaxTokens: 15360, MaxPromptTokens: 1024,
			Concurrency: 256, Shuffle: true, RequestTimeout: Duration(time.Hour), Patience: Duration(3 * time.Minute),
		},
		Reward:    Reward{Verifier: VerifierStrictBox},
		Update:    update,
		Optimizer: updater.DefaultOptimizerConfig(),
		Mismatch:  Mismatch{MaxRatioP50: 1.05, MaxKL: 4e-4},
		Publish:   Publish{Keep: 2, Probes: 4, Timeout: Duration(10 * time.Minute)},
		Checkpoint: Checkpoint{
			Every: 50, Keep: 5, Rollouts: 10, // 25 GB a checkpoint
		},
		Validation: Validation{Every: 50, N: 32, Temperature: 0.7, TopP: 0.9, MaxTokens: 31744},
		Trainer:    Trainer{Device: "cpu"},
		Engine:     Engine{Sequences: 256, CacheMiB: 4096},
	}
}

// tinyCPU keeps the objective, the four updates a step and the schedule, and
// shrinks everything whose size only a cluster can carry.
func tinyCPU(c *Config) {
	c.Steps = 30
	c.Sampling.Batch, c.Sampling.MaxTokens, c.Sampling.MaxPromptTokens = 32, 96, 256
	c.Sampling.Concurrency, c.Sampling.RequestTimeout = 32, Duration(2*time.Minute)
	c.Update.MiniBatch, c.Update.MaxPackTokens, c.Update.Recompute = 8, 4096, false
	c.Optimizer.LR, c.Optimizer.WarmupSteps = 3e-5, 3
	c.Publish.Timeout = Duration(time.Minute)
	c.Checkpoint.Every, c.Checkpoint.Keep, c.Checkpoint.Rollouts = 10, 2, 0
	c.Engine.CacheMiB = 512
	c.Validation.Every, c.Validation.N, c.Validation.Temperature, c.Validation.TopP, c.Validation.MaxTokens = 10, 1, 0, 1, 96
	c.Validation.SampledN = 4
}
