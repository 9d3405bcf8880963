package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/orchestrator"
	"github.com/justrl/justrl/orchestrator/config"
)

// recordedRun is a run directory that holds a configuration and nothing else.
func recordedRun(t *testing.T) (string, config.Config) {
	t.Helper()
	c, err := config.Preset("tiny-cpu")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c.Model, c.Data, c.Out = filepath.Join(dir, "model"), filepath.Join(dir, "data.jsonl"), filepath.Join(dir, "run")
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Out, "config.yaml"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return c.Out, c
}

// Where and how long a run goes on may change, and is told; what it learns may not,
// unless that is asked for.
func TestChangesOfAResumedRun(t *testing.T) {
	run, c := recordedRun(t)
	for _, tc := range []struct {
		name            string
		change          func(*config.Config)
		recipe, conduct []string
	}{
		{"nothing", func(*config.Config) {}, nil, nil},
		{"threads, servers, packs and steps", func(c *config.Config) {
			c.Trainer.Threads, c.Server, c.Update.MaxPackTokens, c.Steps = 3, []string{"http://a:1", "http://b:2"}, 2048, 40
		}, nil, []string{"server is [http://a:1 http://b:2], was []", "steps is 40, was 30", "update.max_pack_tokens is 2048, was 4096", "trainer.threads is 3, was 0"}},
		{"checkpoints", func(c *config.Config) { c.Checkpoint.KeepEvery, c.Validation.Best = 10, "x" },
			nil, []string{"checkpoint.keep_every is 10, was 0", "validation.best is x, was "}},
		{"the recipe, and threads", func(c *config.Config) { c.Optimizer.LR, c.Sampling.N, c.Trainer.Threads = 1e-6, 4, 1 },
			[]string{"sampling.n is 4, was 8", "optimizer.lr is 1e-06, was 3e-05"}, []string{"trainer.threads is 1, was 0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now := c
			tc.change(&now)
			got, err := changesOf(filepath.Join(run, "config.yaml"), now)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(changes{recipe: tc.recipe, conduct: tc.conduct}, got, cmp.AllowUnexported(changes{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// A changed recipe is listed key by key, before anything is opened.
func TestChangedRecipeIsRefused(t *testing.T) {
	dir, _ := recordedRun(t)
	args := []string{"run", "--resume", "--out", dir, "--set", "optimizer.lr=1e-6", "--set", "sampling.n=4"}
	for _, tc := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"as it is", args, ExitUsage, []string{"sampling.n is 4, was 8, optimizer.lr is 1e-06, was 3e-05", "--allow-changed-recipe", filepath.Join(dir, "config.yaml")}},
		{"told to", append(args, "--allow-changed-recipe"), ExitFailed, []string{"model"}}, // and goes on, to the model that is not there
		{"of a new run", []string{"run", "--allow-changed-recipe", "--out", dir}, ExitUsage, []string{"--allow-changed-recipe is for --resume"}},
	} {
		code, _, stderr := run(t, tc.args...)
		for _, want := range tc.want {
			if code != tc.code || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%s: exit code %d, %q; want %d and one line with %q", tc.name, code, stderr, tc.code, want)
			}
		}
	}
}

func TestBestSet(t *testing.T) {
	sets := []orchestrator.HeldOut{{Name: "aime"}, {Name: "amc"}}
	for best, want := range map[string]string{"": "", "amc": "", "math": `"math", which is none of the sets: aime, amc`} {
		err := bestSet(config.Config{Validation: config.Validation{Best: best}}, sets)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", best, err)
		}
	}
	if err := bestSet(config.Config{Validation: config.Validation{Best: "a"}}, nil); err == nil || !strings.Contains(err.Error(), "there is no validation") {
		t.Errorf("without sets: %v", err)
	}
}
