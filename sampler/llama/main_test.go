package llama_test

import (
	"flag"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/llama"
	"github.com/justrl/justrl/sampler/llama/llamatest"
	"github.com/justrl/justrl/sampler/openaitest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick are retries that do not slow a test down.
var quick = endpoint.Retry{Tries: 3, First: time.Millisecond}

func dial(t *testing.T, url string) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.New(url, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// open makes a fake, a generator and a scorer for it.
func open(t *testing.T, o openaitest.Options) (*llamatest.Server, *llama.Generator, *llama.Scorer) {
	t.Helper()
	fake := llamatest.New(t, o)
	g, s := clients(t, dial(t, fake.URL), llama.Options{Vocab: 512, Retry: quick})
	return fake, g, s
}

func clients(t *testing.T, e *endpoint.Endpoint, o llama.Options) (*llama.Generator, *llama.Scorer) {
	t.Helper()
	g, err := llama.New(e, o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := llama.NewScorer(e, o)
	if err != nil {
		t.Fatal(err)
	}
	return g, s
}

func request(n, maxTokens int) sampler.Request {
	return sampler.Request{
		PromptTokenIDs: []int32{1, 20, 21, 22}, Seed: 1 << 40, Count: n,
		Params: sampler.Params{N: n, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: maxTokens, Logprobs: true},
	}
}
