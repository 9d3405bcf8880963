package ollama

import (
	"context"
	"testing"

	"github.com/justrl/justrl/internal/ollamatest"
	"github.com/justrl/justrl/sampler/samplertest"
)

func TestConformanceOnFake(t *testing.T) {
	for name, f := range map[string]ollamatest.Faults{
		"with pieces": {}, "before log-probs": {NoPieces: true},
	} {
		t.Run(name, func(t *testing.T) {
			samplertest.Generator(t, func(t *testing.T) samplertest.Subject {
				server := fake(t, ollamatest.Options{})
				server.Set(f)
				return samplertest.Subject{
					Generator: open(t, server.URL, func(o *Options) { o.Tries = 200 }),
					Running:   func(context.Context) (int, error) { return server.Running(), nil },
					Prompt:    ollamatest.Plain{}.Encode("1 + 2 = "), Vocab: ollamatest.PlainVocab, MaxModelLen: 512,
					Reproducible: true, NoLogprobs: true,
				}
			})
		})
	}
}
