package updater

import (
	"errors"
	"fmt"
	"math"
)

// Where a step's old log-probs come from.
const (
	OldLogprobsRecompute = "recompute" // the updater's own, before the first update (as verl)
	OldLogprobsServer    = "server"    // the rollouts' own
)

// What a ratio of new to old probabilities is taken over; the formulas are in updater/grpo.
const (
	RatioToken    = "token"    // each token has its own (PPO, GRPO)
	RatioSequence = "sequence" // a response's tokens share the geometric mean of theirs (GSPO)
)

// How the KL to the reference model is estimated from sampled tokens; the
// formulas are in updater/grpo.
const (
	KLEstimatorK1 = "k1"
	KLEstimatorK2 = "k2"
	KLEstimatorK3 = "k3"
)

// How token losses become one number; the formulas are in updater/grpo.
const (
	TokenMean           = "token-mean"
	TokenMeanVerl       = "token-mean-verl"
	SeqMeanTokenSum     = "seq-mean-token-sum"
	SeqMeanTokenMean    = "seq-mean-token-mean"
	SeqMeanTokenSumNorm = "seq-mean-token-sum-norm"
)

// Config holds the settings of an update (`update.…` in a run's config).
type Config struct {
	Epochs        int     `yaml:"epochs" about:"passes over the batch a step"`
	MiniBatch     int     `yaml:"mini_batch" about:"problems (groups) an optimizer update; the last may be smaller"`
	OldLogprobs   string  `yaml:"old_logprobs" about:"recompute | server"`
	ClipLow       float64 `yaml:"clip_low" about:"ratios are clipped to [1-clip_low, 1+clip_high]"`
	ClipHigh      float64 `yaml:"clip_high" about:"see clip_low; the recipe clips higher above than below"`
	ClipC         float64 `yaml:"clip_c" about:"dual clip for negative advantages: the loss is at most -A·c; > 1"`
	Aggregation   string  `yaml:"aggregation" about:"token-mean | token-mean-verl (with verl's micro-batches, which can be over max_pack_tokens) | seq-mean-token-sum | seq-mean-token-mean | seq-mean-token-sum-norm"`
	NormTokens    int     `yaml:"norm_tokens" about:"divisor of seq-mean-token-sum-norm, tokens; 0 = the longest response of the mini-batch"`
	MaxPackTokens int     `yaml:"max_pack_tokens" about:"tokens a pack (prompt + response); a longer sequence gets a pack of its own"`
	Temperature   float64 `yaml:"temperature" about:"logits are divided by it; must equal the sampling temperature"`
	Recompute     bool    `yaml:"recompute" about:"run each layer's forward again in the backward pass: less memory, about a third more time"`
	AdvantageStd  bool    `yaml:"advantage_std" about:"divide advantages by the group's standard deviation (GRPO); false leaves r − mean"`

	// What follows is for recipes other than JustRL's, and off in its presets.
	Ratio       string  `yaml:"ratio" about:"token | sequence (GSPO: a response's tokens share exp(mean log-ratio); its clip range is much narrower)"`
	TISCap      float64 `yaml:"tis_cap" about:"multiply each token's loss by min(trainer's / server's probability, tis_cap); needs old_logprobs: recompute; 0 = off"`
	EntropyCoef float64 `yaml:"entropy_coef" about:"weight of an entropy bonus in the loss; 0 = none"`
	KLCoef      float64 `yaml:"kl_coef" about:"weight of the KL to a reference model in the loss; 0 = none, and no reference is loaded"`
	KLEstimator string  `yaml:"kl_estimator" about:"k1 | k2 | k3, of kl_coef; the gradient of k1 is 0 on average: it measures but does not hold"`
	Reference   string  `yaml:"reference" about:"folder of the reference model of kl_coef, with the policy's vocabulary; empty = the model that training began with"`
}

// OptimizerConfig holds AdamW's settings (`optimizer.…` in a run's config).
type OptimizerConfig struct {
	LR          float64 `yaml:"lr" about:"base learning rate"`
	WarmupSteps int     `yaml:"warmup_steps" about:"training steps; lr × min(1, step/warmup), so step 0 has lr 0; 0 = none"`
	Beta1       float64 `yaml:"beta1" about:"decay of the first moment"`
	Beta2       float64 `yaml:"beta2" about:"decay of the second moment"`
	Eps         float64 `yaml:"eps" about:"added to the root of the second moment"`
	WeightDecay float64 `yaml:"weight_decay" about:"decoupled, on every tensor"`
	GradClip    float64 `yaml:"grad_clip" about:"largest L2 norm of the whole gradient; 0 = no clipping"`
}

// LearningRate is the rate of training step `step`, counted from 0.
func (c OptimizerConfig) LearningRate(step int) float64 {
	if c.WarmupSteps <= 0 || step >= c.WarmupSteps {
		return c.LR
	}
	return c.LR * float64(step) / float64(c.WarmupSteps)
}

// DefaultConfig is the recipe of the paper.
func DefaultConfig() Config {
	return Config{
		Epochs: 1, MiniBatch: 64, OldLogprobs: OldLogprobsRecompute,
		ClipLow: 0.2, ClipHigh: 0.28, ClipC: 10, Aggregation: TokenMean,
		MaxPackTokens: 32768, Temperature: 1, AdvantageStd: true,
		Ratio: RatioToken, KLEstimator: KLEstimatorK3,
	}
}

// DefaultOptimizerConfig is the recipe of the paper.
func DefaultOptimizerConfig() OptimizerConfig {
	return OptimizerConfig{LR: 1e-6, WarmupSteps: 10, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, GradClip: 1}
}

// Validate reports every fault at once; nil if there is none.
func (c Config) Validate() error {
	var errs []error
	must := func(ok bool, key, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("update.%s: %s", key, fmt.Sprintf(format, args...)))
		}
	}
	must(c.Epochs >= 1, "epochs", "must be at least 1, is %d", c.Epochs)
	must(c.MiniBatch >= 1, "mini_batch", "must be at least 1, is %d", c.MiniBatch)
	must(c.OldLogprobs == OldLogprobsRecompute || c.OldLogprobs == OldLogprobsServer, "old_logprobs", "must be recompute or server, is %q", c.OldLogprobs)
	must(c.ClipLow >= 0 && finite(c.ClipLow), "clip_low", "must be 0 or more (1 and more never clips below), is %g", c.ClipLow)
	must(c.ClipHigh >= 0 && finite(c.ClipHigh), "clip_high", "must be 0 or more, is %g", c.ClipHigh)
	must(c.ClipC > 1 && finite(c.ClipC), "clip_c", "must be more than 1, is %g", c.ClipC)
	switch c.Aggregation {
	case TokenMean, TokenMeanVerl, SeqMeanTokenSum, SeqMeanTokenMean, SeqMeanTokenSumNorm:
	default:
		must(false, "aggregation", "unknown %q; one of %s, %s, %s, %s, %s", c.Aggregation,
			TokenMean, TokenMeanVerl, SeqMeanTokenSum, SeqMeanTokenMean, SeqMeanTokenSumNorm)
	}
	must(c.NormTokens >= 0, "norm_tokens", "must be 0 or more, is %d", c.NormTokens)
	must(c.MaxPackTokens >= 2, "max_pack_tokens", "must be at least 2, is %d", c.MaxPackTokens)
	must(c.Temperature > 0 && finite(c.Temperature), "temperature", "must be more than 0, is %g", c.Temperature)
	must(c.Ratio == RatioToken || c.Ratio == RatioSequence, "ratio", "must be %s or %s, is %q", RatioToken, RatioSequence, c.Ratio)
	must(c.TISCap >= 0 && finite(c.TISCap), "tis_cap", "must be 0 (off) or more, is %g", c.TISCap)
	must(!(c.TISCap > 0) || c.OldLogprobs != OldLogprobsServer, "tis_cap", "is %g, and old_logprobs is %s: it weighs the trainer's own log-probs against the server's, so old_logprobs must be %s, or tis_cap 0",
		c.TISCap, c.OldLogprobs, OldLogprobsRecompute)
	must(c.EntropyCoef >= 0 && finite(c.EntropyCoef), "entropy_coef", "must be 0 (none) or more, is %g", c.EntropyCoef)
	must(c.KLCoef >= 0 && finite(c.KLCoef), "kl_coef", "must be 0 (none) or more, is %g", c.KLCoef)
	switch c.KLEstimator {
	case KLEstimatorK1, KLEstimatorK2, KLEstimatorK3:
	default:
		must(false, "kl_estimator", "must be %s, %s or %s, is %q", KLEstimatorK1, KLEstimatorK2, KLEstimatorK3, c.KLEstimator)
	}
	return errors.Join(errs...)
}

// Validate reports every fault at once; nil if there is none.
func (c OptimizerConfig) Validate() error {
	var errs []error
	must := func(ok bool, key, want string, is any) {
		if !ok {
			errs = append(errs, fmt.Errorf("optimizer.%s: must be %s, is %v", key, want, is))
		}
	}
	must(c.LR >= 0 && finite(c.LR), "lr", "0 or more", c.LR)
	must(c.WarmupSteps >= 0, "warmup_steps", "0 or more", c.WarmupSteps)
	must(c.Beta1 >= 0 && c.Beta1 < 1, "beta1", "in [0, 1)", c.Beta1)
	must(c.Beta2 >= 0 && c.Beta2 < 1, "beta2", "in [0, 1)", c.Beta2)
	must(c.Eps > 0 && finite(c.Eps), "eps", "more than 0", c.Eps)
	must(c.WeightDecay >= 0 && finite(c.WeightDecay), "weight_decay", "0 or more", c.WeightDecay)
	must(c.GradClip >= 0 && finite(c.GradClip), "grad_clip", "0 or more", c.GradClip)
	return errors.Join(errs...)
}

func finite(x float64) bool { return !math.IsInf(x, 0) && !math.IsNaN(x) }
