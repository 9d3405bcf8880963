package ollama

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/ollamatest"
	"github.com/justrl/justrl/sampler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quick = endpoint.Retry{Tries: 3, First: time.Millisecond}

func fake(t *testing.T, o ollamatest.Options) *ollamatest.Server {
	t.Helper()
	o.Tokenizer, o.Vocab, o.End, o.Begin = ollamatest.Plain{}, ollamatest.PlainVocab, ollamatest.End, ollamatest.Begin
	return ollamatest.New(t, o)
}

func connect(t *testing.T, url string) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.New(url, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func settings() Options {
	return Options{Model: "tiny", Tokenizer: ollamatest.Plain{}, Vocab: ollamatest.PlainVocab, EndTokenID: ollamatest.End, Context: 512, Retry: quick}
}

func open(t *testing.T, url string, change func(*Options)) *Generator {
	t.Helper()
	o := settings()
	if change != nil {
		change(&o)
	}
	g, err := New(connect(t, url), o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func request(n, maxTokens int) sampler.Request {
	return sampler.Request{
		PromptTokenIDs: ollamatest.Plain{}.Encode("what is 1+1? "), Seed: 1<<51 + 12345, Count: n,
		Params: sampler.Params{N: n, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: maxTokens, Logprobs: true},
	}
}
