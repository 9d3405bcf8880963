package sglang_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/sglang"
	"github.com/justrl/justrl/sampler/sglang/sglangtest"
)

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
func open(t *testing.T, s sglangtest.Options, o sglang.Options) (*sglangtest.Server, *sglang.Generator, *sglang.Scorer) {
	t.Helper()
	if s.Policy.TokenTime == 0 {
		s.Policy.TokenTime = 10 * time.Microsecond
	}
	fake := sglangtest.New(t, s)
	e := dial(t, fake.URL)
	o.Vocab, o.MaxModelLen, o.Retry = 512, 512, quick
	g, err := sglang.New(e, o)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := sglang.NewScorer(e, o)
	if err != nil {
		t.Fatal(err)
	}
	return fake, g, sc
}

func request(n, maxTokens int) sampler.Request {
	return sampler.Request{
		PromptTokenIDs: []int32{1, 20, 21, 22}, Seed: 1 << 40, Count: n,
		Params: sampler.Params{N: n, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: maxTokens, Logprobs: true},
	}
}

// slow is a policy whose tokens take so long that a test can step in.
var slow = openaitest.Options{TokenTime: 2 * time.Millisecond}
