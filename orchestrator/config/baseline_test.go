package config

import (
	"errors"
	"os"
	"path/filepath"
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
		"justrl-robust":        {"reward.verifier is rule, was strict-box", "reward.max_unscored is 0.01, was 0"},
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

// Dr. GRPO divides by the answers of an update times their greatest length,
// whatever these are in the end, unless norm_tokens is set itself.
func TestDrGRPOsConstantFollows(t *testing.T) {
	for _, tc := range []struct {
		name, file string
		sets       []string
		want       int
	}{
		{"one size", "", []string{"sampling.max_tokens=100"}, 64 * 8 * 100},
		{"all sizes, one by one", "", []string{"update.mini_batch=3", "sampling.n=5", "sampling.max_tokens=7"}, 3 * 5 * 7},
		{"a file", "sampling:\n  n: 4\n  max_tokens: 10\nupdate: {mini_batch: 2}\n", nil, 2 * 4 * 10},
		{"a file, then more", "sampling:\n  n: 4\n  max_tokens: 10\n", []string{"update.mini_batch=2"}, 2 * 4 * 10},
		{"something else", "", []string{"optimizer.lr=1e-5"}, 64 * 8 * 15360},
		{"set, then a size", "", []string{"update.norm_tokens=9", "sampling.n=4"}, 9},
		{"a size, then set", "", []string{"sampling.n=4", "update.norm_tokens=9"}, 9},
		{"set to the longest response", "", []string{"update.norm_tokens=0", "sampling.n=4"}, 0},
		{"set in the file that has the sizes", "sampling: {n: 4}\nupdate: {norm_tokens: 7864320}\n", nil, 7864320},
		{"a size that is refused, then another", "", []string{"sampling.n=-1", "sampling.n=4"}, 64 * 4 * 15360},
	} {
		c, err := Preset("dr-grpo")
		if err != nil {
			t.Fatal(err)
		}
		if tc.file != "" {
			path := filepath.Join(t.TempDir(), "c.yaml")
			if err := errors.Join(os.WriteFile(path, []byte(tc.file), 0o644), c.LoadFile(path)); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range tc.sets {
			if err := c.Set(s); err != nil {
				t.Fatal(err)
			}
		}
		if c.Update.NormTokens != tc.want {
			t.Errorf("%s: norm_tokens is %d, want %d", tc.name, c.Update.NormTokens, tc.want)
		}
	}
	// Of a recorded run too, and in no other preset.
	c, err := Preset("dr-grpo")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Set("sampling.n=4"); err != nil {
		t.Fatal(err)
	}
	doc, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	back, err := Preset("dr-grpo")
	if err := errors.Join(err, os.WriteFile(path, doc, 0o644), back.LoadFile(path)); err != nil {
		t.Fatal(err)
	}
	if d := c.Differences(back); len(d) > 0 {
		t.Errorf("read back: %v", d)
	}
	other, err := Preset(DefaultPreset)
	if err := errors.Join(err, other.Set("update.aggregation=seq-mean-token-sum-norm"), other.Set("sampling.n=4")); err != nil {
		t.Fatal(err)
	}
	if other.Update.NormTokens != 0 {
		t.Errorf("%s: norm_tokens is %d, want 0", DefaultPreset, other.Update.NormTokens)
	}
}

// TestJustRLLeavesOut: dynamic sampling, the penalty on length, KL, entropy bonus,
// importance weights and sequence ratios are off, and advantages are over the
// standard deviation, in each of JustRL's three presets (justrl-overlong, the
// paper's ablation, has the penalty). That a group of equal rewards is kept is
// updater/grpo's to test.
func TestJustRLLeavesOut(t *testing.T) {
	for _, preset := range []string{"justrl-deepseek-1.5b", "justrl-nemotron-1.5b", "tiny-cpu"} {
		c, err := Preset(preset)
		if err != nil {
			t.Fatal(err)
		}
		if c.Sampling.Dynamic || c.Reward.OverlongBuffer != 0 || c.Update.KLCoef != 0 || c.Update.EntropyCoef != 0 ||
			c.Update.TISCap != 0 || c.Update.Ratio != "token" || !c.Update.AdvantageStd || c.Update.Aggregation != "token-mean" {
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
