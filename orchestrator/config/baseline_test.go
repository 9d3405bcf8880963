package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A baseline is JustRL's recipe but for what makes it itself: every key that
// differs is named here, with its value.
func TestBaselinesDifferInNothingElse(t *testing.T) {
	for preset, want := range map[string][]string{
		"justrl-nemotron-1.5b": {"steps is 3440, was 4380"},
		"justrl-overlong":      {"reward.overlong_buffer is 4096, was 0"},
		"grpo-classic": {
			"update.clip_high is 0.2, was 0.28", "update.aggregation is seq-mean-token-mean, was token-mean", "update.kl_coef is 0.04, was 0",
		},
		"dr-grpo": {
			"update.clip_high is 0.2, was 0.28", "update.aggregation is seq-mean-token-sum-norm, was token-mean",
			"update.norm_tokens is 7864320, was 0", // 64 rows × 8 answers × 15,360 tokens
			"update.advantage_std is false, was true",
		},
		"dapo": {"sampling.dynamic is true, was false", "reward.overlong_buffer is 4096, was 0"},
	} {
		c, err := Preset(preset)
		if err != nil {
			t.Fatal(err)
		}
		justrl, err := Preset(DefaultPreset)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc(c.Differences(justrl), func(s string) bool { return strings.HasPrefix(s, "preset ") })
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", preset, d)
		}
	}
}

// What other recipes add is off in every preset of JustRL.
func TestJustRLLeavesOut(t *testing.T) {
	for _, preset := range []string{"justrl-deepseek-1.5b", "justrl-nemotron-1.5b", "tiny-cpu"} {
		c, err := Preset(preset)
		if err != nil {
			t.Fatal(err)
		}
		if c.Sampling.Dynamic || c.Reward.OverlongBuffer != 0 || c.Update.KLCoef != 0 || c.Update.EntropyCoef != 0 ||
			c.Update.TISCap != 0 || c.Update.Ratio != "token" || !c.Update.AdvantageStd {
			t.Errorf("%s has something of another recipe: %+v %+v %+v", preset, c.Sampling, c.Reward, c.Update)
		}
	}
}

func TestBaselineSettingsAreChecked(t *testing.T) {
	for set, want := range map[string]string{
		"sampling.max_batches=0":       "sampling.max_batches: must be at least 1, is 0",
		"reward.overlong_buffer=-1":    "reward.overlong_buffer: must be from 0 (off) to sampling.max_tokens (15360), is -1",
		"reward.overlong_buffer=15361": "reward.overlong_buffer: must be from 0 (off) to sampling.max_tokens (15360), is 15361",
		"reward.overlong_factor=0":     "reward.overlong_factor: must be more than 0, is 0",
		"reward.overlong_factor=.nan":  "reward.overlong_factor: must be more than 0, is NaN",
		"reward.overlong_factor=.inf":  "reward.overlong_factor: must be more than 0, is +Inf",
	} {
		c, err := Preset(DefaultPreset)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Set(set); err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", set, err, want)
		}
	}
}
