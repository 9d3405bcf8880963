package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/internal/hub"
	"github.com/justrl/justrl/orchestrator/config"
)

func TestIsElsewhere(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"models/mine", "org/there", "dapo-folder"} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("AMC23", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, value, kind string
		want              bool
		fault             string
	}{
		{"nothing", "", hub.Model, false, ""},
		{"a folder that looks like an id", "org/there", hub.Model, false, ""},
		{"an id", "Qwen/Qwen2.5-0.5B", hub.Model, true, ""},
		{"an id whose owner is a folder here", "org/gone", hub.Model, false, "write hf://org/gone"},
		{"the same, written so", "hf://org/gone", hub.Model, true, ""},
		{"a bad address", "hf://org", hub.Model, false, "org/name"},
		{"an absolute path", "/models/x", hub.Model, false, ""},
		{"a relative path", "./org/name", hub.Model, false, ""},
		{"a file that is not there", "data/train.parquet", hub.Dataset, false, ""},
		{"a file of a repository", "o/n/data/train.parquet", hub.Dataset, true, ""},
		{"a word", "model", hub.Model, false, ""},
		{"a set", "aime24", hub.Dataset, true, ""},
		{"a file with a set's name", "AMC23", hub.Dataset, false, ""},
		{"a set is no model", "AIME24", hub.Model, false, ""},
		{"DAPO", "dapo", hub.Dataset, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := isElsewhere(tc.value, tc.kind)
			if got != tc.want || (err != nil) != (tc.fault != "") || err != nil && !strings.Contains(err.Error(), tc.fault) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// fetchedInputs is what fetchInputs makes of a configuration.
func fetchedInputs(t *testing.T, cfg config.Config) (config.Config, string, error) {
	t.Helper()
	var stderr bytes.Buffer
	set := flag.NewFlagSet("run", flag.ContinueOnError)
	set.String("log", "text", "")
	c := cli.NewContext(&cli.App{ErrWriter: &stderr}, set, nil)
	c.Context = t.Context()
	err := fetchInputs(c, &cfg)
	return cfg, stderr.String(), err
}

func TestFetchInputs(t *testing.T) {
	h := newWebHub(t, map[string]string{"config.json": "{}", "model-00001-of-00001.safetensors": "w", "data/train.parquet": "PAR1", "README.md": "x"})
	t.Chdir(t.TempDir())
	cache := os.Getenv("HF_HUB_CACHE")
	model := filepath.Join(cache, "models--org--name", "snapshots", hubCommit)
	data := filepath.Join(cache, "datasets--org--name", "snapshots", hubCommit, "data", "train.parquet")
	for _, offline := range []string{"", "1"} {
		t.Setenv("HF_HUB_OFFLINE", offline)
		asked := h.requests("")
		cfg, stderr, err := fetchedInputs(t, config.Config{Model: "org/name", Data: "org/name", Validation: config.Validation{Data: []string{"mine.jsonl", "org/name/data/train.parquet"}}})
		if err != nil {
			t.Fatalf("offline %q: %v", offline, err)
		}
		if cfg.Model != model || cfg.Data != data || cfg.Validation.Data[0] != "mine.jsonl" || cfg.Validation.Data[1] != data {
			t.Errorf("offline %q: %+v", offline, cfg)
		}
		if !strings.Contains(stderr, "--model org/name is "+model) {
			t.Errorf("said %q", stderr)
		}
		if offline == "1" && h.requests("") != asked {
			t.Error("offline, but something was sent")
		}
		for _, path := range []string{filepath.Join(cfg.Model, "model-00001-of-00001.safetensors"), cfg.Data} {
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		}
		if offline == "" {
			// The list of a data set is not kept; its one file is there by its name.
			if _, _, err := fetchedInputs(t, config.Config{Data: "org/name/data/train.parquet"}); err != nil {
				t.Error(err)
			}
		}
	}
	asked := h.requests("")
	if _, stderr, err := fetchedInputs(t, config.Config{Model: model, Data: data}); err != nil || stderr != "" || h.requests("") != asked {
		t.Errorf("paths alone: %v, %q", err, stderr)
	}

	t.Setenv("HF_HUB_OFFLINE", "")
	h.files["data/test.parquet"] = "PAR1"
	_, _, err := fetchedInputs(t, config.Config{Data: "org/name"})
	if err == nil || !strings.Contains(err.Error(), "has 2 data files; name one of them as org/name/FILE: data/t") {
		t.Errorf("two data files: %v", err)
	}
	delete(h.files, "model-00001-of-00001.safetensors")
	_, _, err = fetchedInputs(t, config.Config{Model: "org/name@v2"})
	if err == nil || !strings.Contains(err.Error(), "--model org/name@v2: no such path") || !strings.Contains(err.Error(), "no safetensors weights") {
		t.Errorf("no weights: %v", err)
	}
	_, _, err = fetchedInputs(t, config.Config{Model: "hf://datasets/org/name"})
	if err == nil || !strings.Contains(err.Error(), "a model is needed") {
		t.Errorf("a data set for a model: %v", err)
	}
	code, _, stderr := run(t, "run", "--model", "org/gone", "--data", "x.jsonl", "--out", "o")
	if code != ExitServer || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "--model org/gone: no such path, and elsewhere: org/gone: GET "+h.URL+"/api/models/org/gone/revision/main: 404: Repository not found: check the id") {
		t.Errorf("code %d, %s", code, stderr)
	}
	if err := os.Mkdir("org", 0o777); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = run(t, "run", "--model", "org/name", "--data", "x.jsonl", "--out", "o")
	if code != ExitUsage || !strings.Contains(stderr, "hf://org/name") {
		t.Errorf("code %d, %s", code, stderr)
	}
}
