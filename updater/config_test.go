package updater

import (
	"math"
	"strings"
	"testing"
)

// The schedule is counted in training steps from 0: the first one moves nothing.
func TestLearningRate(t *testing.T) {
	for name, c := range map[string]struct {
		warmup, step int
		want         float64
	}{
		"the first step":         {10, 0, 0},
		"a tenth of the way":     {10, 1, 1e-7},
		"the last of warm-up":    {10, 9, 9e-7},
		"after it":               {10, 10, 1e-6},
		"long after":             {10, 4380, 1e-6},
		"no warm-up, first step": {0, 0, 1e-6},
	} {
		t.Run(name, func(t *testing.T) {
			o := DefaultOptimizerConfig()
			o.WarmupSteps = c.warmup
			if got := o.LearningRate(c.step); math.Abs(got-c.want) > 1e-21 {
				t.Errorf("rate is %g, want %g", got, c.want)
			}
		})
	}
}

func TestDefaultsAreValid(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	if err := DefaultOptimizerConfig().Validate(); err != nil {
		t.Error(err)
	}
}

// The paper's recipe has none of the terms that baselines need.
func TestDefaultsAreTheBareObjective(t *testing.T) {
	if c := DefaultConfig(); c.KLCoef != 0 || c.EntropyCoef != 0 || c.TISCap != 0 || c.Ratio != RatioToken {
		t.Errorf("%+v", c)
	}
}

// Every bound, from outside, NaN included; and all faults at once.
func TestValidateNamesEveryFault(t *testing.T) {
	nan := math.NaN()
	for key, bad := range map[string][]func(*Config){
		"epochs":          {func(c *Config) { c.Epochs = 0 }},
		"mini_batch":      {func(c *Config) { c.MiniBatch = 0 }},
		"old_logprobs":    {func(c *Config) { c.OldLogprobs = "" }},
		"clip_low":        {func(c *Config) { c.ClipLow = math.Inf(1) }, func(c *Config) { c.ClipLow = -0.1 }, func(c *Config) { c.ClipLow = nan }},
		"clip_high":       {func(c *Config) { c.ClipHigh = -0.1 }, func(c *Config) { c.ClipHigh = nan }},
		"clip_c":          {func(c *Config) { c.ClipC = 1 }, func(c *Config) { c.ClipC = nan }},
		"aggregation":     {func(c *Config) { c.Aggregation = "mean" }},
		"norm_tokens":     {func(c *Config) { c.NormTokens = -1 }},
		"max_pack_tokens": {func(c *Config) { c.MaxPackTokens = 1 }},
		"temperature":     {func(c *Config) { c.Temperature = 0 }, func(c *Config) { c.Temperature = nan }},
		"ratio":           {func(c *Config) { c.Ratio = "group" }},
		"tis_cap": {func(c *Config) { c.TISCap = -1 }, func(c *Config) { c.TISCap = nan }, func(c *Config) { c.TISCap = math.Inf(1) },
			func(c *Config) { c.TISCap, c.OldLogprobs = 2, OldLogprobsServer }},
		"entropy_coef": {func(c *Config) { c.EntropyCoef = -1 }, func(c *Config) { c.EntropyCoef = nan }, func(c *Config) { c.EntropyCoef = math.Inf(1) }},
		"kl_coef":      {func(c *Config) { c.KLCoef = -1 }, func(c *Config) { c.KLCoef = nan }, func(c *Config) { c.KLCoef = math.Inf(1) }},
		"kl_estimator": {func(c *Config) { c.KLEstimator = "full" }},
	} {
		for _, change := range bad {
			c := DefaultConfig()
			change(&c)
			if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "update."+key+": ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: error is %v", key, err)
			}
		}
	}
	for key, change := range map[string]func(*OptimizerConfig, float64){
		"lr":           func(c *OptimizerConfig, x float64) { c.LR = x },
		"beta1":        func(c *OptimizerConfig, x float64) { c.Beta1 = x },
		"beta2":        func(c *OptimizerConfig, x float64) { c.Beta2 = x },
		"eps":          func(c *OptimizerConfig, x float64) { c.Eps = x },
		"weight_decay": func(c *OptimizerConfig, x float64) { c.WeightDecay = x },
		"grad_clip":    func(c *OptimizerConfig, x float64) { c.GradClip = x },
	} {
		for _, x := range []float64{-1, nan, math.Inf(1)} {
			c := DefaultOptimizerConfig()
			change(&c, x)
			if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "optimizer."+key+": ") {
				t.Errorf("%s %g: error is %v", key, x, err)
			}
		}
	}
	if err := (Config{}).Validate(); strings.Count(err.Error(), "\n") != 8 {
		t.Errorf("faults of the zero value, a line each:\n%v", err)
	}
}
