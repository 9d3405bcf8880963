//go:build torch && ollama && !vllm

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// realOllama is the URL of the Ollama that these tests share (scripts/with-ollama starts it).
func realOllama(t *testing.T) string {
	t.Helper()
	url := os.Getenv("JUSTRL_OLLAMA")
	if url == "" {
		t.Fatal("JUSTRL_OLLAMA is not set: run these tests by make test-ollama")
	}
	return url
}

func ollamaRun(t *testing.T, out string, more ...string) []string {
	return append([]string{"run", "--server", realOllama(t), "--served-model", "justrl", "--preset", "tiny-cpu", "--model", policy, "--data", train, "--out", out, "--steps", "2"}, more...)
}

func TestOllamaNeedsLeave(t *testing.T) {
	r := justrl(t.Context(), t, ollamaRun(t, filepath.Join(t.TempDir(), "run"))...)
	if r.code != 3 || !strings.Contains(r.stderr, "--allow-retokenized") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

func TestOllamaTrains(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	r := must(t, ollamaRun(t, out, "--allow-retokenized")...)
	for line := range strings.Lines(r.stderr) {
		if strings.Contains(line, "retokenized") {
			t.Log(line)
		}
	}
	if !strings.Contains(r.stderr, "retokenized: of ") {
		t.Errorf("the run does not say how exact its answers were:\n%s", r.stderr)
	}
	for _, s := range steps(t, out, 2) {
		t.Logf("step %d: canary %+v, reward %+.3f", s.Step, s.Canary, s.ScoreMean)
		if !s.Canary.Passed || s.GradNorm == 0 {
			t.Errorf("step %d: gradient norm %g, canary %+v", s.Step, s.GradNorm, s.Canary)
		}
		for _, c := range s.Canary.Servers {
			// The first step's learning rate is 0: the same weights must come out as the same file.
			if c.Checksums == nil || c.Checksums.Changed != s.Step || c.Checksums.Equal != 1-s.Step {
				t.Errorf("step %d: the stored weights are %+v", s.Step, c.Checksums)
			}
		}
	}
}

func TestOllamaEval(t *testing.T) {
	r := must(t, "eval", "--server", realOllama(t), "--served-model", "justrl:latest", "--bench", heldOut, "--out", filepath.Join(t.TempDir(), "eval"), "-n", "1", "--max-tokens", "64", "--limit", "20")
	t.Log(r.stdout)
}
