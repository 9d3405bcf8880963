package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openai"
)

// On a real vLLM that serves examples/arithmetic/policy: its own weights, then
// a checkpoint's, then its own again, which give the same answers as before.
func TestSweepOnVLLM(t *testing.T) {
	url := os.Getenv("JUSTRL_VLLM_URL")
	if url == "" {
		t.Skip("SKIPPED: needs a real vLLM; scripts/with-vllm examples/arithmetic/policy go test ./internal/cli -run TestSweepOnVLLM")
	}
	e, err := endpoint.New(url, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	models, err := openai.New(e, endpoint.Retry{}).Models(t.Context())
	if err != nil || len(models) != 1 {
		t.Fatalf("%v, %v", models, err)
	}
	dir := t.TempDir()
	at := filepath.Join(dir, "runs", "x", "checkpoints", "step-000001")
	if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
		t.Fatal(err)
	}
	_, err = atomicdir.Create(at, atomicdir.Marker{Version: 3, Step: 1}, func(tmp string) error {
		return os.CopyFS(tmp, os.DirFS("../../examples/arithmetic/policy"))
	})
	if err != nil {
		t.Fatal(err)
	}
	spoiled := filepath.Join(filepath.Dir(at), "step-000002")
	_, err = atomicdir.Create(spoiled, atomicdir.Marker{Version: 4, Step: 2}, func(tmp string) error {
		if err := os.CopyFS(tmp, os.DirFS("../../examples/arithmetic/policy")); err != nil {
			return err
		}
		path := filepath.Join(tmp, "model.safetensors")
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		clear(b[len(b)/2:])
		return os.WriteFile(path, b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	set, err := filepath.Abs("../../examples/arithmetic/heldout.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	spec := filepath.Join(dir, "sweep.yaml")
	sweepOnce := func(models string) (out string) {
		t.Helper()
		out = filepath.Join(t.TempDir(), "out")
		text := fmt.Sprintf("models: %s\nservers: {url: %s, concurrency: 8}\nsets: %s\nsampling: {temperature: 0, n: 1, max_tokens: 48}\nlimit: 16\nverifier: strict-box\n", models, url, set)
		if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := run(t, "sweep", spec, "--out", out)
		t.Logf("%s\n%s", stdout, stderr)
		if code != ExitOK {
			t.Fatalf("exit code %d", code)
		}
		return out
	}
	answers := func(out, of string) []string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(out, "cells", of+"-t0-*", "*-MNT48.jsonl"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		all := answersIn(t, found[0])
		slices.Sort(all)
		return all
	}
	out := sweepOnce("[{model: runs/x/checkpoints/step-000001, name: same}, {model: runs/x/checkpoints/step-000002, name: spoiled}, {model: " + models[0].ID + ", name: own}]")
	own := answers(out, "own")
	if !slices.Equal(own, answers(out, "same")) {
		t.Error("the server's own weights, loaded as a checkpoint, give other answers")
	}
	if slices.Equal(own, answers(out, "spoiled")) {
		t.Error("half of the weights are gone, and nobody sees it")
	}
	again := sweepOnce("{model: " + models[0].ID + ", name: own}")
	if !slices.Equal(own, answers(again, "own")) {
		t.Error("its own weights are not what they were")
	}
	if strings.Join(own, "") == "" {
		t.Error("no answers")
	}
}
