package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/justrl/justrl/updater"
)

// DefaultPreset is what a run starts from when no preset is named.
const DefaultPreset = "justrl-deepseek-1.5b"

// presetDrGRPO has a setting that follows others: see [Config.follow].
const presetDrGRPO = "dr-grpo"

// preset is a named starting point.
type preset struct {
	name, about string
	change      func(*Config)
}

// presets returns them in the order in which they are listed. The two of the
// paper differ in nothing but the model they are meant for and how long they ran.
//
// The baselines change what makes each of them itself: clip, aggregation,
// advantage, KL, which groups are trained on, reward. All else is JustRL's: batch,
// updates a step, lengths, optimizer, dual clip, data and verifier, so that a
// difference between two runs comes from the objective. Their papers had other
// sizes, which --set reaches.
func presets() []preset {
	return []preset{
		{"justrl-deepseek-1.5b", "the paper's run on DeepSeek-R1-Distill-Qwen-1.5B", func(*Config) {}},
		{"justrl-nemotron-1.5b", "the paper's run on OpenMath-Nemotron-1.5B: the same hyperparameters", func(c *Config) { c.Steps = 3440 }},
		{"justrl-overlong", "the paper's ablation: its run with DAPO's penalty on long answers", overlong},
		{"justrl-robust", "the paper's ablation: its run with the rule grader as the reward", robust},
		{"justrl-overlong-robust", "the paper's two ablations together", func(c *Config) { overlong(c); robust(c) }},
		{"justrl-0.5b", "the recipe on 0.5 billion parameters, like Qwen2.5-0.5B: nothing recomputed, which 31 GB hold", func(c *Config) { c.Update.Recompute = false }},
		{"justrl-3b", "the recipe on 3 billion parameters, like Qwen2.5-3B: training takes 64 GB, a checkpoint 43 GB", func(c *Config) { sized(c, 32768, 100, 3) }},
		{"justrl-7b", "the recipe on 7 billion parameters, like Qwen2.5-7B: with packs of 16,384 tokens training takes 145 GB, one H200; a checkpoint 107 GB", func(c *Config) { sized(c, 16384, 100, 2) }},
		{"grpo-classic", "baseline: GRPO (arXiv 2402.03300) with all else as JustRL", grpoClassic},
		{presetDrGRPO, "baseline: Dr. GRPO (arXiv 2503.20783) with all else as JustRL; unless set, update.norm_tokens is mini_batch × n × max_tokens", drGRPO},
		{"dapo", "baseline: DAPO (arXiv 2503.14476) with all else as JustRL", dapo},
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
			MaxBatches: 30, // verl's recipe for DAPO stops after 10 draws of 3 batches each
		},
		Reward:    Reward{Verifier: VerifierStrictBox, Timeout: Duration(30 * time.Second), OverlongFactor: 1},
		Update:    update,
		Optimizer: updater.DefaultOptimizerConfig(),
		Mismatch:  Mismatch{MaxRatioP50: 1.05, MaxKL: 4e-4},
		Publish:   Publish{Sync: SyncAuto, Keep: 2, Probes: 4, Timeout: Duration(10 * time.Minute)},
		Checkpoint: Checkpoint{
			Every: 50, Keep: 5, Rollouts: 10, // 25 GB a checkpoint
		},
		Validation: Validation{Verifier: VerifierRule, Every: 50, N: 32, Temperature: 0.7, TopP: 0.9, MaxTokens: 31744},
		Notify:     Notify{Timeout: Duration(30 * time.Second)},
		Monitor:    defaultMonitor(),
		Trainer:    Trainer{Device: "cpu"},
		Engine:     Engine{Sequences: 256, CacheMiB: 4096},
	}
}

// overlong is the ablation of arXiv 2512.16649: a buffer of 4,096 tokens, factor 1.
func overlong(c *Config) { c.Reward.OverlongBuffer, c.Reward.OverlongFactor = 4096, 1 }

// robust is the other: answers are rewarded as the evaluation grades them. Of those
// that sympy does not come to an end with, a few may be left out.
func robust(c *Config) { c.Reward.Verifier, c.Reward.MaxUnscored = VerifierRule, 0.01 }

// sized is the recipe on another number of parameters. What is learned from stays as
// it is, the learning rate too: the paper has one size, and tuned none. Other are the
// packs that fit (a weight takes 18 bytes in bfloat16, a token of a pack what
// docs/measurements.md says) and how often 14 bytes a weight are written.
func sized(c *Config, pack, every, keep int) {
	c.Update.MaxPackTokens = pack
	c.Checkpoint.Every, c.Checkpoint.Keep = every, keep
}

// grpoClassic is arXiv 2402.03300, equation 3: the symmetric clip of 0.2, the mean
// over answers of their mean over tokens, advantages over the standard deviation,
// and the KL to the model that training began with, estimated as k3 (equation 4)
// and weighted 0.04 (its section 4.2; verl's examples have 0.001). The paper's run
// took one update a step; here there are JustRL's four, for the comparison.
func grpoClassic(c *Config) {
	c.Update.AdvantageStd = true
	c.Update.Aggregation = updater.SeqMeanTokenMean
	c.Update.ClipLow, c.Update.ClipHigh = 0.2, 0.2
	c.Update.KLCoef, c.Update.KLEstimator, c.Update.Reference = 0.04, updater.KLEstimatorK3, ""
}

// drGRPO is arXiv 2503.20783: no division by the group's standard deviation, and
// none by an answer's length. A token weighs 1 / (answers of an update · longest
// answer), a constant: its implementation takes the mean over answers of their sum
// over MAX_TOKENS. The clip is the symmetric 0.2, and there is no KL.
func drGRPO(c *Config) {
	c.Update.AdvantageStd = false
	c.Update.Aggregation = updater.SeqMeanTokenSumNorm // a sum over answers: their number is in norm_tokens
	c.Update.NormTokens = longestUpdate(*c)
	c.Update.ClipLow, c.Update.ClipHigh = 0.2, 0.2
}

// longestUpdate is the response tokens of an update whose answers are all as
// long as they can be; 0 where a setting that [Config.Validate] refuses is below 1.
func longestUpdate(c Config) int {
	return max(c.Update.MiniBatch, 0) * max(c.Sampling.N, 0) * max(c.Sampling.MaxTokens, 0)
}

// follow keeps Dr. GRPO's constant right where something else is laid over c and
// gives next: it goes with the sizes that it is the product of, as long as it is
// their product. A norm_tokens of the user's own stays.
func (c Config) follow(next *Config) {
	if c.Preset == presetDrGRPO && c.Update.NormTokens == longestUpdate(c) {
		next.Update.NormTokens = longestUpdate(*next)
	}
}

// dapo is arXiv 2503.14476: the higher upper clip (0.2, 0.28), the token-mean,
// dynamic sampling, the soft punishment over the last 4,096 tokens, no KL. Of
// these JustRL has the first, the second and the last. The paper's run took 512
// rows × 16 rollouts a step, updates of 512 rollouts (16 a step) and answers of
// 20,480 tokens; here they are JustRL's 256 × 8, 512 rollouts an update (4 a step)
// and 15,360, for the comparison.
func dapo(c *Config) {
	c.Update.ClipLow, c.Update.ClipHigh, c.Update.Aggregation = 0.2, 0.28, updater.TokenMean
	c.Sampling.Dynamic = true
	overlong(c)
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
	c.Validation.Verifier = "" // its answers are numbers, and a demonstration fetches nothing more
}
