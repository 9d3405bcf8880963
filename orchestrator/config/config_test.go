package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestPresetsAreValidAndGolden(t *testing.T) {
	for _, p := range Presets() {
		t.Run(p[0], func(t *testing.T) {
			c, err := Preset(p[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Validate(); err != nil {
				t.Errorf("a preset must be valid: %v", err)
			}
			got, err := c.YAML()
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", p[0]+".yaml")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("preset changed (-want +got); run with -update if it was meant:\n%s", d)
			}
		})
	}
}

// The recipe's table, number by number: these are the paper's, not ours to change.
func TestPaperRecipe(t *testing.T) {
	c, err := Preset(DefaultPreset)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		what      string
		got, want float64
	}{
		{"rows a step", float64(c.Sampling.Batch), 256},
		{"rollouts a row", float64(c.Sampling.N), 8},
		{"updates a step", float64(c.Sampling.Batch / c.Update.MiniBatch * c.Update.Epochs), 4},
		{"clip low", 1 - c.Update.ClipLow, 0.8},
		{"clip high", 1 + c.Update.ClipHigh, 1.28},
		{"dual clip", c.Update.ClipC, 10},
		{"learning rate", c.Optimizer.LR, 1e-6},
		{"warm-up steps", float64(c.Optimizer.WarmupSteps), 10},
		{"weight decay", c.Optimizer.WeightDecay, 0.1},
		{"gradient clip", c.Optimizer.GradClip, 1},
		{"temperature", c.Sampling.Temperature, 1},
		{"prompt tokens", float64(c.Sampling.MaxPromptTokens), 1024},
		{"response tokens", float64(c.Sampling.MaxTokens), 15360},
		{"pack tokens", float64(c.Update.MaxPackTokens), 32768},
		{"KL to a reference", c.Update.KLCoef, 0},
		{"entropy bonus", c.Update.EntropyCoef, 0},
		{"truncated importance sampling", c.Update.TISCap, 0},
	} {
		if row.got != row.want {
			t.Errorf("%s: got %g, the paper has %g", row.what, row.got, row.want)
		}
	}
	for step, want := range map[int]float64{0: 0, 1: 1e-7, 9: 9e-7, 10: 1e-6, 4000: 1e-6} {
		if got := c.Optimizer.LearningRate(step); got < want*(1-1e-12) || got > want*(1+1e-12) {
			t.Errorf("learning rate of step %d: got %g, want %g", step, got, want)
		}
	}
}

func TestYAMLRoundTrip(t *testing.T) {
	c, err := Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	c.Publish.Sync, c.Publish.Command = SyncCommand, []string{"./reload", "{dir}"}
	c.Server, c.Publish.Agents = []string{"http://a:1", "http://b:2"}, []string{"http://a:1=http://a:2"}
	c.Validation.Data, c.Reward.Command = []string{"x.jsonl"}, []string{"python3", "verify.py"}
	c.Notify.Command = []string{"./page", "--run", "x"}
	c.Problems = Problems{"q", "a", "i", []string{"c.text"}, "index", "{{question}}\n# one letter: {{choices}}"}
	c.Validation.Problems.Choices = []string{"A", "B"}
	b, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	back, err := Preset(DefaultPreset)
	if err != nil {
		t.Fatal(err)
	}
	if err := back.LoadFile(path); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, back); d != "" {
		t.Errorf("written and read again (-wrote +read):\n%s", d)
	}
}

func TestOverlayKeepsWhatItDoesNotName(t *testing.T) {
	c, err := Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	want := c
	want.Sampling.N = 4
	want.Optimizer.LR = 1e-6
	want.Sampling.RequestTimeout = Duration(90 * time.Second)
	want.Server = []string{"http://h:8000"}
	for _, s := range []string{"sampling.n=4", "optimizer.lr=1e-6", "sampling.request_timeout=90s", "server=[http://h:8000]"} {
		if err := c.Set(s); err != nil {
			t.Fatalf("--set %s: %v", s, err)
		}
	}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestBadInputIsOneLineThatNamesIt(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	load := func(text string) error {
		c, _ := Preset("tiny-cpu")
		before := c
		err := c.LoadFile(file(text))
		if d := cmp.Diff(before, c); err != nil && d != "" {
			t.Errorf("a refused file changed the config:\n%s", d)
		}
		return err
	}
	set := func(s string) error {
		c, _ := Preset("tiny-cpu")
		return c.Set(s)
	}
	for _, tc := range []struct {
		name string
		err  error
		want []string
	}{
		{"unknown top-level key", load("stepz: 3\n"), []string{"c.yaml:1:1", `unknown key "stepz"`}},
		{"unknown nested key", load("sampling:\n  n: 8\n  temprature_: 1\n"), []string{"c.yaml:3:3", `unknown key "temprature_"`}},
		{"wrong type", load("steps: many\n"), []string{"c.yaml:1:8"}},
		{"not YAML", load("a: [1,\n"), []string{"c.yaml:"}},
		{"bad duration", load("publish:\n  timeout: soon\n"), []string{"soon", "duration"}},
		{"set: no value", set("sampling.n"), []string{"--set sampling.n", "key=value"}},
		{"set: unknown key", set("update.clip=1"), []string{"--set update.clip=1", `unknown key "clip"`}},
		{"set: fraction for a count", set("steps=1.5"), []string{"--set steps=1.5"}},
		{"set: bool for text", set("reward.shuffle_control=perhaps"), []string{"--set reward.shuffle_control=perhaps"}},
		{"unknown preset", func() error { _, err := Preset("x"); return err }(), []string{`"x"`, "tiny-cpu"}},
		{"no such file", func() error { var c Config; return c.LoadFile(filepath.Join(dir, "none.yaml")) }(), []string{"none.yaml", "no such file"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.err == nil {
				t.Fatal("accepted")
			}
			if strings.Contains(tc.err.Error(), "\n") {
				t.Errorf("more than one line:\n%v", tc.err)
			}
			for _, w := range tc.want {
				if !strings.Contains(tc.err.Error(), w) {
					t.Errorf("%q does not say %q", tc.err, w)
				}
			}
		})
	}
}

func TestValidateListsEveryFault(t *testing.T) {
	c, err := Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	c.Steps, c.Sampling.N, c.Sampling.Temperature, c.Update.ClipC = 0, 1, 0.5, 1
	c.Validation.N, c.Publish.Keep, c.Trainer.DType, c.Optimizer.Beta1 = 4, 1, "int8", 1
	c.Validation.SampledN, c.Checkpoint.KeepEvery = -1, 15 // and every is 10
	err = c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, key := range []string{"steps:", "sampling.n:", "update.temperature:", "update.clip_c:", "validation.n:", "validation.sampled_n:", "publish.keep:", "checkpoint.keep_every:", "trainer.dtype:", "optimizer.beta1:"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not reported in:\n%v", key, err)
		}
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != 10 {
		t.Errorf("%d faults reported, want 10:\n%v", got, err)
	}
}

// A run that keeps one checkpoint has nothing to fall back to where that is damaged.
func TestKeepIsEnoughToFallBack(t *testing.T) {
	for keep, refused := range map[int]bool{-1: true, 0: false, 1: true, 2: false} {
		c, err := Preset("tiny-cpu")
		if err != nil {
			t.Fatal(err)
		}
		c.Checkpoint.Keep = keep
		if err := c.Validate(); (err != nil) != refused || refused && !strings.Contains(err.Error(), "checkpoint.keep: must be 0 (all) or at least 2") {
			t.Errorf("checkpoint.keep=%d: %v", keep, err)
		}
	}
}

func FuzzSet(f *testing.F) {
	for _, s := range []string{"sampling.n=8", "a.b.c=1", "=", "x: y=2", "server=[a, b]", "steps=*a", "sampling={n: 3}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, _ := Preset("tiny-cpu")
		before := c
		if err := c.Set(s); err != nil && cmp.Diff(before, c) != "" {
			t.Errorf("--set %q failed and changed the config", s)
		}
	})
}

func TestDifferences(t *testing.T) {
	a, err := Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	b := a
	a.Server = []string{} // as read from a file; nil is the same
	if d := a.Differences(b); len(d) != 0 {
		t.Errorf("equal configs differ in %v", d)
	}
	b.Sampling.N, b.Validation.Data, b.Seed = 4, []string{"held.jsonl"}, 7
	want := []string{"seed is 1, was 7", "sampling.n is 8, was 4", "validation.data is [], was [held.jsonl]"}
	if d := cmp.Diff(want, a.Differences(b)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A run of another version is read for what is known of it.
func TestRecorded(t *testing.T) {
	c, err := Recorded([]byte("steps: 7\nnovel: {a: 1}\nvalidation:\n  temperature: 0.6\n  sampled_m: 3\n"))
	if err != nil || c.Steps != 7 || c.Validation.Temperature != 0.6 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := Recorded([]byte("{[:")); err == nil {
		t.Error("what is no YAML was read")
	}
}
