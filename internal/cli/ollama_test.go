package cli

import (
	"strings"
	"testing"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/ollamatest"
	"github.com/justrl/justrl/sampler/ollama"
)

func TestUnknownIsOneValue(t *testing.T) {
	if bridge.Unknown != ollama.Unknown {
		t.Errorf("bridge takes %v for unknown, sampler/ollama gives %v", bridge.Unknown, ollama.Unknown)
	}
}

// TestRunNeedsLeaveToRetokenize: against Ollama a run says in one line what it needs.
func TestRunNeedsLeaveToRetokenize(t *testing.T) {
	server := ollamatest.New(t, ollamatest.Options{Tokenizer: ollamatest.Plain{}, Vocab: 384, End: ollamatest.End, Begin: ollamatest.Begin, Context: 2048})
	against := func(more ...string) (int, string) {
		code, _, stderr := run(t, append([]string{"run", "--preset", "tiny-cpu", "--server", server.URL, "--model", "../../examples/arithmetic/policy",
			"--data", "../../examples/arithmetic/train.jsonl", "--out", t.TempDir() + "/run"}, more...)...)
		return code, stderr
	}
	for _, c := range []struct {
		name, want string
		code       int
		args       []string
	}{
		{"not allowed", server.URL + ": is an Ollama server, which neither takes nor gives token ids; allow it with --allow-retokenized", 3, nil},
		{"another way of loading", server.URL + ": cannot be loaded by --sync files; use --sync auto, or what it offers: ollama", 3, []string{"--allow-retokenized", "--sync", "files"}},
		{"a way that there is not", "publish.sync (--sync) must be one of auto, files, in-place, transfer, disk, ollama, command, is \"pigeon\"", 2, []string{"--sync", "pigeon"}},
		{"old log-probs of the server", "update.old_logprobs is server, and Ollama does not give the log-probs of whole answers", 2, []string{"--allow-retokenized", "--set", "update.old_logprobs=server"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stderr := against(c.args...)
			if code != c.code || !strings.Contains(stderr, c.want) {
				t.Errorf("exit %d, want %d; %s", code, c.code, stderr)
			}
		})
	}
}
