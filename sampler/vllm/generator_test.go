package vllm_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-json"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/vllm"
)

// request asks for n samples of the suite's small prompt.
func request(n, maxTokens int) sampler.Request {
	return sampler.Request{
		PromptTokenIDs: []int32{1, 20, 21, 22}, Seed: 7, Count: n,
		Params: sampler.Params{N: n, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: maxTokens, Logprobs: true},
	}
}

// TestRequestBytes pins what goes over the wire: no parameter may be left to
// the server's defaults, zero or not.
func TestRequestBytes(t *testing.T) {
	for _, c := range []struct {
		name   string
		file   string
		change func(*sampler.Request)
	}{
		{"training", "training.json", func(*sampler.Request) {}},
		{"evaluation", "evaluation.json", func(r *sampler.Request) {
			r.Params.Temperature, r.Params.TopP, r.Params.StopTokenIDs, r.Params.Logprobs = 0.7, 0.9, []int32{2, 100}, false
		}},
		{"greedy", "greedy.json", func(r *sampler.Request) { r.Params.Temperature, r.Params.N, r.Count = 0, 1, 1 }},
		{"one missing sample", "missing.json", func(r *sampler.Request) { r.First, r.Count, r.Seed = 5, 1, 1<<52-1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := openaitest.New(t, openaitest.Options{})
			_, g, _ := open(t, fake.URL, vllm.Options{})
			r := request(8, 4)
			c.change(&r)
			if _, err := g.Generate(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			sent := fake.Requests("/v1/completions")
			if len(sent) != 1 {
				t.Fatalf("%d requests, want one a row", len(sent))
			}
			golden(t, c.file, sent[0].Body)
		})
	}
	t.Run("scoring", func(t *testing.T) {
		fake := openaitest.New(t, openaitest.Options{})
		_, _, s := open(t, fake.URL, vllm.Options{})
		if _, err := s.Score(t.Context(), [][]int32{{1, 20, 21}, {1, 20, 21}}); err != nil {
			t.Fatal(err)
		}
		sent := fake.Requests("/v1/completions")
		if len(sent) != 2 {
			t.Fatalf("%d requests, want one a sequence", len(sent))
		}
		var salts []string
		for _, r := range sent {
			var body struct {
				CacheSalt string `json:"cache_salt"`
			}
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Fatal(err)
			}
			salts = append(salts, body.CacheSalt)
		}
		if len(salts[0]) < 20 || salts[0] == salts[1] {
			t.Errorf("cache salts %q are not unique", salts)
		}
		golden(t, "scoring.json", []byte(strings.Replace(string(sent[0].Body), salts[0], "SALT", 1)))
	})
}

// TestSettingsLeakNowhere checks the golden files themselves: every sampling
// parameter that generation_config.json can set is in each request.
func TestSettingsLeakNowhere(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	_, g, s := open(t, fake.URL, vllm.Options{})
	if _, err := g.Generate(t.Context(), request(1, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Score(t.Context(), [][]int32{{1, 2}}); err != nil {
		t.Fatal(err)
	}
	for _, r := range fake.Requests("/v1/completions") {
		var body map[string]json.RawMessage
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "max_tokens", "min_tokens", "n", "seed", "ignore_eos", "stop_token_ids", "skip_special_tokens"} {
			if _, ok := body[key]; !ok {
				t.Errorf("request lacks %q: %s", key, r.Body)
			}
		}
	}
}

func TestBadRepliesAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		kind openaitest.FaultKind
		want string
	}{
		{"a choice is missing", openaitest.FaultDrop, "3 choices, asked for 4"},
		{"an index twice", openaitest.FaultTwice, "there twice"},
		{"a log-prob is NaN", openaitest.FaultNaN, "invalid character 'N'"},
		{"a log-prob is null", openaitest.FaultNull, "null"},
		{"a log-prob too few", openaitest.FaultShort, "token_logprobs for"},
		{"a token outside the vocabulary", openaitest.FaultVocab, "token 0 is 512, outside the vocabulary of 512"},
		{"no tokens", openaitest.FaultEmpty, "no token_ids"},
		{"a server without return_token_ids", openaitest.FaultNoIDs, "no token_ids"},
		{"another prompt", openaitest.FaultEcho, "prompt_token_ids are not the prompt that was sent"},
		{"an unknown finish_reason", openaitest.FaultFinish, `finish_reason "content_filter"`},
		{"more tokens than allowed", openaitest.FaultLong, "over max_tokens 6"},
		{"not JSON", openaitest.FaultGarbage, "not the JSON that was asked for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := openaitest.New(t, openaitest.Options{})
			_, g, _ := open(t, fake.URL, vllm.Options{Vocab: 512})
			fake.Inject(openaitest.Fault{Kind: c.kind, Sample: 2})
			got, err := g.Generate(t.Context(), request(4, 6))
			var bad *endpoint.ReplyError
			if got != nil || !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), fake.URL) {
				t.Fatalf("got %v, %v; want a ReplyError with %q and the URL", got, err, c.want)
			}
			if n := len(fake.Requests("/v1/completions")); n != 1 {
				t.Errorf("a reply against the API was asked for %d times", n)
			}
			if _, err := g.Generate(t.Context(), request(4, 6)); err != nil {
				t.Errorf("after the fault: %v", err)
			}
		})
	}
}

func TestFailuresAreTriedAgain(t *testing.T) {
	whole := func(t *testing.T) []sampler.Rollout {
		fake := openaitest.New(t, openaitest.Options{})
		_, g, _ := open(t, fake.URL, vllm.Options{})
		got, err := g.Generate(t.Context(), request(4, 6))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}(t)
	for _, c := range []struct {
		name     string
		fault    openaitest.Fault
		requests int // 0: does not succeed
		want     string
	}{
		{"busy twice", openaitest.Fault{Times: 2}, 3, ""},
		{"too many requests", openaitest.Fault{Status: 429}, 2, ""},
		{"a proxy's 502", openaitest.Fault{Status: 502, Body: "<html>Bad Gateway</html>"}, 2, ""},
		{"no answer", openaitest.Fault{Kind: openaitest.FaultClose}, 2, ""},
		{"cut in the middle", openaitest.Fault{Kind: openaitest.FaultCut}, 2, ""},
		{"hangs", openaitest.Fault{Kind: openaitest.FaultHang}, 2, ""},
		{"hangs for ever", openaitest.Fault{Kind: openaitest.FaultHang, Times: -1}, 0, "after 3 tries: POST"},
		{"busy for ever", openaitest.Fault{Times: -1}, 0, "after 3 tries: POST"},
		{"a bad request", openaitest.Fault{Status: 400}, 0, "400"},
		{"a wrong key", openaitest.Fault{Status: 401, Body: `{"error":"Unauthorized"}`}, 0, "401: Unauthorized (is the API key right?)"},
		{"a dead engine", openaitest.Fault{Status: 500, Body: `{"error":{"message":"EngineCore encountered an issue.","type":"InternalServerError","param":null,"code":500}}`}, 0, "500: EngineCore"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := openaitest.New(t, openaitest.Options{})
			_, g, _ := open(t, fake.URL, vllm.Options{Retry: endpoint.Retry{Tries: 3, First: time.Millisecond, Attempt: 500 * time.Millisecond}})
			fake.Inject(c.fault)
			got, err := g.Generate(t.Context(), request(4, 6))
			if c.requests == 0 {
				if got != nil || err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %v, %v; want an error with %q", got, err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(whole, got); diff != "" {
				t.Errorf("differs from an undisturbed request (-want +got):\n%s", diff)
			}
			if n := len(fake.Requests("/v1/completions")); n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
		})
	}
}

// TestAbortedSamplesAreAskedForAlone checks that only what is missing is
// sampled again, from its own stream.
func TestAbortedSamplesAreAskedForAlone(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	_, g, _ := open(t, fake.URL, vllm.Options{Retry: endpoint.Retry{Tries: 9, First: time.Millisecond}})
	want, err := g.Generate(t.Context(), request(6, 5))
	if err != nil {
		t.Fatal(err)
	}
	before := len(fake.Requests("/v1/completions"))
	for range 3 { // the sample is aborted again when it is asked for alone
		fake.Inject(openaitest.Fault{Kind: openaitest.FaultAbort, Sample: 2})
	}
	got, err := g.Generate(t.Context(), request(6, 5))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-undisturbed +aborted)\n%s", diff)
	}
	type ask struct {
		N    int   `json:"n"`
		Seed int64 `json:"seed"`
	}
	var asks []ask
	for _, r := range fake.Requests("/v1/completions")[before:] {
		var a ask
		if err := json.Unmarshal(r.Body, &a); err != nil {
			t.Fatal(err)
		}
		asks = append(asks, a)
	}
	if wanted := []ask{{6, 7}, {1, 9}, {1, 9}, {1, 9}}; !slices.Equal(asks, wanted) {
		t.Errorf("asked for %+v, want %+v", asks, wanted)
	}
}

// TestPauseInModeAbort is the real thing behind an abort: an operator pauses
// the server while it generates, and resumes it.
func TestPauseInModeAbort(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{TokenTime: time.Millisecond})
	e, g, _ := open(t, fake.URL, vllm.Options{Retry: endpoint.Retry{Tries: 20, First: time.Millisecond}})
	r := request(4, 40)
	want, err := g.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var got []sampler.Rollout
	var pool errgroup.Group
	pool.Go(func() (err error) {
		got, err = g.Generate(t.Context(), r)
		return err
	})
	if err := fake.AwaitRunning(t.Context(), func(n int) bool { return n > 0 }); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/pause?mode=abort", "/resume"} {
		if err := e.Do(t.Context(), http.MethodPost, path, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := pool.Wait(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-undisturbed +paused)\n%s", diff)
	}
}

func TestSamplesOverTheLimitAreCutIntoRequests(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	_, whole, _ := open(t, fake.URL, vllm.Options{})
	_, cut, _ := open(t, fake.URL, vllm.Options{MaxSamples: 3})
	want, err := whole.Generate(t.Context(), request(8, 5))
	if err != nil {
		t.Fatal(err)
	}
	got, err := cut.Generate(t.Context(), request(8, 5))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-one request +three)\n%s", diff)
	}
	if n := len(fake.Requests("/v1/completions")); n != 1+3 {
		t.Errorf("%d requests, want 1 and 3", n)
	}
}

func TestPromptOutsideTheVocabularyIsNotSent(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	_, g, s := open(t, fake.URL, vllm.Options{Vocab: 512})
	for _, bad := range []int32{-1, 512} {
		r := request(1, 1)
		r.PromptTokenIDs = []int32{1, bad}
		if _, err := g.Generate(t.Context(), r); err == nil || !strings.Contains(err.Error(), "outside the vocabulary of 512") {
			t.Errorf("generate with token %d: %v", bad, err)
		}
		if _, err := s.Score(t.Context(), [][]int32{{1, bad}}); err == nil || !strings.Contains(err.Error(), "sequence 0") {
			t.Errorf("score with token %d: %v", bad, err)
		}
	}
	if n := len(fake.Requests("")); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestAttemptsEndOnTheServer(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	_, g, _ := open(t, fake.URL, vllm.Options{Retry: endpoint.Retry{Tries: 1, Attempt: 20 * time.Millisecond}})
	fake.Inject(openaitest.Fault{Kind: openaitest.FaultHang})
	_, err := g.Generate(t.Context(), request(1, 1))
	var timeout *endpoint.TimeoutError
	if !errors.As(err, &timeout) {
		t.Fatalf("error %v, want a TimeoutError", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if fake.AwaitRunning(ctx, func(n int) bool { return n == 0 }) != nil {
		t.Error("the server still works on a request that nobody waits for")
	}
}

func TestNewRefuses(t *testing.T) {
	e, err := endpoint.New("http://127.0.0.1:1", endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]vllm.Options{
		"no model":            {},
		"negative vocabulary": {Model: "m", Vocab: -1},
		"negative limit":      {Model: "m", MaxSamples: -1},
	} {
		if _, err := vllm.New(e, o); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := vllm.NewScorer(e, o); err == nil {
			t.Errorf("%s: no error from NewScorer", name)
		}
	}
}
