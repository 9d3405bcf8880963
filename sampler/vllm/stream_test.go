package vllm_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
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
	"github.com/justrl/justrl/sampler/samplertest"
	"github.com/justrl/justrl/sampler/vllm"
)

// decode is the fake's own, its end token left out.
func decode(ids []int32) string {
	return openaitest.Decode(slices.DeleteFunc(slices.Clone(ids), func(id int32) bool { return id == 2 }))
}

func TestConformanceOfStreams(t *testing.T) {
	for name, stream := range map[string]*vllm.Stream{"asked again": {}, "gone on with": {Decode: decode}} {
		t.Run(name, func(t *testing.T) {
			samplertest.Generator(t, func(t *testing.T) samplertest.Subject {
				fake := openaitest.New(t, openaitest.Options{})
				_, g, s := open(t, fake.URL, vllm.Options{Vocab: 512, Stream: stream})
				return samplertest.Subject{
					Generator: g, Score: s.Score, Prompt: []int32{1, 20, 21, 22}, Vocab: 512, MaxModelLen: 512, Reproducible: true, Raw: true,
				}
			})
		})
	}
}

// TestStreamsAreTheWhole: an answer in pieces is the one that comes whole, text included.
func TestStreamsAreTheWhole(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	_, whole, _ := open(t, fake.URL, vllm.Options{Vocab: 512})
	_, pieces, _ := open(t, fake.URL, vllm.Options{Vocab: 512, Stream: &vllm.Stream{}})
	for _, r := range []sampler.Request{request(6, 40), request(1, 1)} {
		want, err := whole.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pieces.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-whole +in pieces)\n%s", diff)
		}
	}
}

// TestCutStreamsGoOn: what was sampled before the cut is kept to the token, the
// rest is asked for after it, and is of the same policy.
func TestCutStreamsGoOn(t *testing.T) {
	for name, kind := range map[string]openaitest.FaultKind{
		"cut": openaitest.FaultCut, "ended as if that were all": openaitest.FaultEnd, "stalled": openaitest.FaultStall,
	} {
		t.Run(name, func(t *testing.T) {
			fake := openaitest.New(t, openaitest.Options{})
			_, undisturbed, _ := open(t, fake.URL, vllm.Options{Vocab: 512})
			var told []error
			_, g, s := open(t, fake.URL, vllm.Options{
				Vocab: 512, Stream: &vllm.Stream{Stall: time.Second, Decode: decode},
				Retry: endpoint.Retry{Tries: 1, Notify: func(err error, _ time.Duration) { told = append(told, err) }},
			})
			r := request(4, 60)
			want, err := undisturbed.Generate(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			before := len(fake.Requests("/v1/completions"))
			fake.Inject(openaitest.Fault{Kind: kind})
			got, err := g.Generate(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if len(told) != 1 || !endpoint.Retryable(told[0]) {
				t.Errorf("told of %v", told)
			}
			if kind == openaitest.FaultStall && !strings.Contains(told[0].Error(), "no byte for 1s after ") {
				t.Errorf("diagnosis %v", told[0])
			}
			resumed := 0
			for _, sent := range fake.Requests("/v1/completions")[before+1:] {
				var body struct {
					Prompt    []int32
					N         int
					Seed      int64
					MaxTokens int `json:"max_tokens"`
				}
				if err := json.Unmarshal(sent.Body, &body); err != nil {
					t.Fatal(err)
				}
				prefix := body.Prompt[len(r.PromptTokenIDs):]
				if len(prefix) == 0 {
					continue // of this one nothing had come
				}
				resumed++
				j := slices.IndexFunc(got, func(ro sampler.Rollout) bool {
					return len(ro.TokenIDs) > len(prefix) && slices.Equal(ro.TokenIDs[:len(prefix)], prefix)
				})
				if j < 0 || !slices.Equal(want[j].TokenIDs[:len(prefix)], prefix) {
					t.Fatalf("prefix %v is of none of the answers", prefix)
				}
				if body.N != 1 || body.MaxTokens != r.Params.MaxTokens-len(prefix) || body.Seed != vllm.ContinuationSeed(r.Seed+int64(j), len(prefix)) {
					t.Errorf("sample %d after %d tokens: n %d, max_tokens %d, seed %d", j, len(prefix), body.N, body.MaxTokens, body.Seed)
				}
			}
			if resumed == 0 {
				t.Error("no answer went on from its prefix")
			}
			for j, ro := range got {
				if ro.Sample != j || ro.Text != decode(ro.TokenIDs) {
					t.Errorf("sample %d is %+v", j, ro)
				}
				scores, err := s.Score(t.Context(), [][]int32{slices.Concat(r.PromptTokenIDs, ro.TokenIDs)})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(scores[0][len(r.PromptTokenIDs)-1:], ro.Logprobs); diff != "" {
					t.Errorf("sample %d (-policy +given)\n%s", j, diff)
				}
			}
		})
	}
}

// TestCutStreamsAreAskedAgain: without a tokenizer the same seed gives the same answers.
func TestCutStreamsAreAskedAgain(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	_, g, _ := open(t, fake.URL, vllm.Options{Vocab: 512, Stream: &vllm.Stream{}})
	want, err := g.Generate(t.Context(), request(4, 60))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []openaitest.FaultKind{openaitest.FaultCut, openaitest.FaultEnd, openaitest.FaultClose} {
		fake.Inject(openaitest.Fault{Kind: kind})
		got, err := g.Generate(t.Context(), request(4, 60))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-undisturbed +cut)\n%s", diff)
		}
	}
}

func TestBadStreamsAreRefused(t *testing.T) {
	const good = `{"id":"cmpl-1","choices":[{"index":0,"text":"a","logprobs":{"token_logprobs":[-1]},"finish_reason":null,"prompt_token_ids":[1,20,21,22],"token_ids":[5]}]}`
	for _, c := range []struct{ name, body, want string }{
		{"not JSON", "data: {oops\n\n", "invalid character 'o'"},
		{"no events", "<html>\n", "is no line of an event stream"},
		{"another index", "data: " + strings.Replace(good, `"index":0`, `"index":1`, 1) + "\n\n", "index 1, asked for 1"},
		{"no index", "data: " + strings.Replace(good, `"index":0,`, ``, 1) + "\n\n", "index null"},
		{"a token outside the vocabulary", "data: " + strings.Replace(good, `[5]`, `[512]`, 1) + "\n\n", "token 0 is 512, outside the vocabulary of 512"},
		{"no log-prob", "data: " + strings.Replace(good, `[-1]`, `[]`, 1) + "\n\n", "0 token_logprobs for 1 token_ids"},
		{"another prompt", "data: " + strings.NewReplacer(`null`, `"stop"`, `22]`, `23]`).Replace(good) + "\n\n", "prompt_token_ids are not the prompt"},
		{"too many tokens", strings.Repeat("data: "+good+"\n\n", 4), "4 tokens, over max_tokens 3"},
		{"more after the end", strings.Repeat("data: "+strings.Replace(good, `null`, `"stop"`, 1)+"\n\n", 2), "goes on after its finish_reason"},
		{"no ids", "data: " + strings.NewReplacer(`null`, `"stop"`, `[5]`, `null`, `[-1]`, `[]`).Replace(good) + "\n\n", "no token_ids"},
		{"an error in its midst", "data: " + good + "\n\ndata: {\"error\":{\"message\":\"EngineCore encountered an issue\",\"type\":\"InternalServerError\",\"code\":500}}\n\n", "500: EngineCore encountered"},
		{"a bad request that came late", "data: {\"error\":{\"message\":\"no\",\"code\":400}}\n\n", "400: no"},
		{"cut every time", "data: " + good + "\n\n", "the stream ended before its answers did"},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = w.Write([]byte(": ping\nevent: x\n" + c.body))
			})
			_, g, _ := open(t, url, vllm.Options{Vocab: 512, Stream: &vllm.Stream{}})
			got, err := g.Generate(t.Context(), request(1, 3))
			if got != nil || err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), url) {
				t.Errorf("got %v, %v; want %q and the URL", got, err, c.want)
			}
		})
	}
}

// TestStalledServersAreNoticed: nothing comes at all.
func TestStalledServersAreNoticed(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	_, g, _ := open(t, fake.URL, vllm.Options{Stream: &vllm.Stream{Stall: 100 * time.Millisecond}, Retry: endpoint.Retry{Tries: 1}})
	fake.Inject(openaitest.Fault{Kind: openaitest.FaultHang, Times: -1})
	_, err := g.Generate(t.Context(), request(2, 5))
	var stalled *vllm.StallError
	if !errors.As(err, &stalled) || !strings.Contains(err.Error(), "no byte for 100ms after 0 tokens") {
		t.Errorf("error %v, want a StallError", err)
	}
}

func TestWaiting(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	_, g, _ := open(t, fake.URL, vllm.Options{})
	fake.Inject(openaitest.Fault{Kind: openaitest.FaultHang})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pool errgroup.Group
	pool.Go(func() error {
		_, err := g.Generate(ctx, request(3, 5))
		return err
	})
	if err := fake.AwaitRunning(t.Context(), func(n int) bool { return n > 0 }); err != nil {
		t.Fatal(err)
	}
	got := g.Waiting()
	if len(got) != 1 || got[0].Seed != 7 || got[0].Count != 3 || got[0].Since.IsZero() || time.Since(got[0].Since) < 0 {
		t.Errorf("waiting: %+v", got)
	}
	cancel()
	_ = pool.Wait()
	if got := g.Waiting(); len(got) != 0 {
		t.Errorf("after the end: %+v", got)
	}
}

// TestContinuationSeeds: the rest of a sample has random numbers of its own.
func TestContinuationSeeds(t *testing.T) {
	seen := map[int64]bool{}
	for seed := range int64(50) {
		seen[seed] = true
		for tokens := 1; tokens < 200; tokens++ {
			s := vllm.ContinuationSeed(seed, tokens)
			if s < 0 || seen[s] {
				t.Fatalf("seed %d after %d tokens is %d", seed, tokens, s)
			}
			seen[s] = true
		}
	}
}

// serve starts a server that t closes.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}
