package vllm_test

import (
	"context"
	"testing"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/samplertest"
	"github.com/justrl/justrl/sampler/vllm"
)

// open makes an endpoint, a generator and a scorer for a server, with retries that do not slow a test down.
func open(t *testing.T, url string, o vllm.Options) (*endpoint.Endpoint, *vllm.Generator, *vllm.Scorer) {
	t.Helper()
	e, err := endpoint.New(url, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	if o.Model == "" {
		o.Model = "tiny"
	}
	if o.Retry.Tries == 0 {
		o.Retry = endpoint.Retry{Tries: 3, First: time.Millisecond}
	}
	g, err := vllm.New(e, o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := vllm.NewScorer(e, o)
	if err != nil {
		t.Fatal(err)
	}
	return e, g, s
}

func TestConformanceOnFake(t *testing.T) {
	for name, maxSamples := range map[string]int{"one request": 0, "cut into requests of two": 2} {
		t.Run(name, func(t *testing.T) {
			samplertest.Generator(t, func(t *testing.T) samplertest.Subject {
				fake := openaitest.New(t, openaitest.Options{TokenTime: 10 * time.Microsecond})
				_, g, s := open(t, fake.URL, vllm.Options{Vocab: 512, MaxSamples: maxSamples})
				return samplertest.Subject{
					Generator: g, Score: s.Score,
					Running: func(context.Context) (int, error) { return fake.Running(), nil },
					Prompt:  []int32{1, 20, 21, 22}, Vocab: 512, MaxModelLen: 512, Reproducible: true, Raw: true,
				}
			})
		})
	}
}
