package llama_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/llama"
	"github.com/justrl/justrl/sampler/llama/llamatest"
	"github.com/justrl/justrl/sampler/openaitest"
)

func TestProbe(t *testing.T) {
	fake := llamatest.New(t, openaitest.Options{Vocab: 300, MaxModelLen: 128})
	want := sampler.Info{
		Dialect: sampler.DialectLlama, Version: "b11434-fake", Models: []string{"tiny"}, Model: "tiny", Root: "/models/tiny.gguf",
		MaxModelLen: 128, Vocab: 300, TokenIDs: true, LogprobsMode: sampler.LogprobsRaw, Scores: true, MaxSamples: 1, Seeds: true,
	}
	got, err := llama.Probe(t.Context(), dial(t, fake.URL), "", quick)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	processed := llamatest.New(t, openaitest.Options{Processed: true})
	got, err = llama.Probe(t.Context(), dial(t, processed.URL), "tiny", quick)
	if err != nil || got.LogprobsMode != sampler.LogprobsProcessed {
		t.Errorf("log-probs %q, %v", got.LogprobsMode, err)
	}
}

// What a server lacks is not claimed of it.
func TestProbeOfAnOldServer(t *testing.T) {
	for name, spoil := range map[string]func(map[string]any){
		"no tokens":    func(r map[string]any) { r["tokens"] = []int{} },
		"no log-probs": func(r map[string]any) { delete(r, "completion_probabilities") },
	} {
		t.Run(name, func(t *testing.T) {
			fake := llamatest.New(t, openaitest.Options{})
			fake.Edit(spoil)
			got, err := llama.Probe(t.Context(), dial(t, fake.URL), "", quick)
			if err != nil || got.TokenIDs != (name == "no log-probs") || got.Scores || got.LogprobsMode != sampler.LogprobsUnknown {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	t.Run("no bias", func(t *testing.T) {
		fake := llamatest.New(t, openaitest.Options{})
		fake.Edit(func(map[string]any) {})
		fake.Edit(func(r map[string]any) { r["tokens"] = []int{7} })
		got, err := llama.Probe(t.Context(), dial(t, fake.URL), "", quick)
		if err != nil || !got.TokenIDs || got.Scores {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestProbeRefuses(t *testing.T) {
	var cannot *sampler.CannotError
	fake := llamatest.New(t, openaitest.Options{})
	if _, err := llama.Probe(t.Context(), dial(t, fake.URL), "huge", quick); !errors.As(err, &cannot) || !strings.Contains(err.Error(), `does not serve "huge"; it serves tiny`) {
		t.Errorf("another model: %v", err)
	}
	vllm := openaitest.New(t, openaitest.Options{})
	if _, err := llama.Probe(t.Context(), dial(t, vllm.URL), "", quick); !errors.As(err, &cannot) || !strings.Contains(err.Error(), "it is no llama-server") {
		t.Errorf("a vLLM: %v", err)
	}
}
