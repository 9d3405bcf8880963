package openai

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openaitest"
)

func sampled(seed int64) ChatRequest {
	r := judge()
	r.Temperature, r.TopP, r.MaxTokens, r.Seed = 0.7, 0.9, 40, seed
	r.Extensions = Neutral()
	return r
}

func TestStreamBytes(t *testing.T) {
	const head = `{"model":"tiny","messages":[{"role":"user","content":"Is <b>2</b> right?"}],"n":1,"temperature":0.7,"top_p":0.9,"max_tokens":40,"seed":0,"stop":[]`
	for _, c := range []struct {
		name  string
		plain bool
		want  string
	}{
		{"to vLLM and its like", false, head + `,"top_k":-1,"min_p":0,"repetition_penalty":1,"stream":true,"stream_options":{"include_usage":true}}`},
		{"to a server that knows OpenAI's fields alone", true, head + `,"stream":true,"stream_options":{"include_usage":true}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := openaitest.New(t, openaitest.Options{})
			cl, before := client(t, fake.URL, ""), 0
			if c.plain { // it says so once, and is not asked again
				fake.Inject(openaitest.Fault{Kind: openaitest.FaultStatus, Path: chatPath, Status: 400, Body: `{"error":{"message":"Unrecognized request argument supplied: top_k"}}`})
				before++
			}
			for range 2 {
				if _, err := cl.Stream(t.Context(), sampled(0), nil); err != nil {
					t.Fatal(err)
				}
			}
			sent := fake.Requests("")
			if len(sent) != before+2 || cl.Plain() != c.plain {
				t.Fatalf("%d requests, Plain is %t", len(sent), cl.Plain())
			}
			for _, r := range sent[before:] {
				if diff := cmp.Diff(c.want, string(r.Body)); diff != "" {
					t.Errorf("(-want +sent)\n%s", diff)
				}
			}
		})
	}
}

// A streamed answer is the one that comes whole.
func TestStreamIsTheWholeAnswer(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	c := client(t, fake.URL, "")
	for seed := range int64(20) {
		r, events := sampled(seed), 0
		got, err := c.Stream(t.Context(), r, func() { events++ })
		if err != nil {
			t.Fatal(err)
		}
		whole, err := c.Chat(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if got.Text != whole[0].Text || got.FinishReason != whole[0].FinishReason || got.Tokens < 1 || got.Tokens > 40 || got.PromptTokens < 20 || got.Apart {
			t.Errorf("seed %d: streamed %+v, whole %+v", seed, got, whole[0])
		}
		if events < got.Tokens {
			t.Errorf("seed %d: told of %d events for %d tokens", seed, events, got.Tokens)
		}
	}
}

func TestStreamReplies(t *testing.T) {
	const last = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n"
	const first = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n"
	for _, c := range []struct {
		name, body string
		want       Answer
		err        string // "" is no error
		retry      bool
		status     int // of a StatusError
	}{
		{"without usage", first + last + "data: [DONE]\n\n", Answer{Text: "ab", FinishReason: "stop"}, "", false, 0},
		{"without DONE", first + last, Answer{Text: "ab", FinishReason: "stop"}, "", false, 0},
		{"with usage", first + last + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n", Answer{Text: "ab", FinishReason: "stop", Tokens: 2, PromptTokens: 3}, "", false, 0},
		{"comments and line breaks of Windows", ": ping\r\n\r\n" + strings.ReplaceAll(first+last, "\n", "\r\n") + "data: [DONE]\r\n\r\n", Answer{Text: "ab", FinishReason: "stop"}, "", false, 0},
		{"many comments", strings.Repeat(": ping\n\n", 2000) + first + last, Answer{Text: "ab", FinishReason: "stop"}, "", false, 0},
		{"reasoning apart", "data: {\"choices\":[{\"delta\":{\"reasoning\":\"hm \",\"reasoning_content\":\"hm \"}}]}\n\n" + last, Answer{Text: "hm b", FinishReason: "stop", Apart: true}, "", false, 0},
		{"reasoning apart, the other name", "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm \",\"content\":null}}]}\n\n" + last, Answer{Text: "hm b", FinishReason: "stop", Apart: true}, "", false, 0},
		{"ended early", first, Answer{}, "the stream ended before the answer did", true, 0},
		{"ended early, with DONE", first + "data: [DONE]\n\n", Answer{}, "the stream ended before the answer did", true, 0},
		{"nothing", "", Answer{}, "the stream ended before the answer did", true, 0},
		{"an error in the middle", first + "data: {\"error\":{\"message\":\"out of\\n memory\",\"type\":\"InternalServerError\",\"param\":null,\"code\":500}}\n\ndata: [DONE]\n\n", Answer{}, "500: out of memory", true, 500},
		{"a refusal in the middle", "data: {\"error\":{\"message\":\"too long\",\"type\":\"BadRequestError\",\"code\":400}}\n\ndata: [DONE]\n\n", Answer{}, "400: too long", false, 400},
		{"the engine's death", "data: {\"error\":{\"message\":\"EngineCore encountered an issue.\",\"type\":\"InternalServerError\",\"code\":500}}\n\ndata: [DONE]\n\n", Answer{}, "EngineCore", false, 500},
		{"an error of old", "data: {\"object\":\"error\",\"message\":\"bad luck\"}\n\n", Answer{}, "500: bad luck", true, 500},
		{"no JSON", "data: <html>\n\n", Answer{}, "event of the stream", false, 0},
		{"another choice", strings.Replace(last, `"index":0`, `"index":1`, 1), Answer{}, "choice index 1", false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(c.body)) }))
			defer srv.Close()
			got, err := client(t, srv.URL, "").Stream(t.Context(), sampled(1), nil)
			if c.err == "" {
				if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
					t.Errorf("%v (-want +got)\n%s", err, diff)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), srv.URL) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v, want one line with the URL and %q", err, c.err)
			}
			var status *endpoint.StatusError
			if errors.As(err, &status) != (c.status != 0) || status != nil && status.Status != c.status {
				t.Errorf("error %#v, want the status %d", err, c.status)
			}
			if endpoint.Retryable(err) != c.retry {
				t.Errorf("Retryable is %t", !c.retry)
			}
		})
	}
}

func TestStreamFaults(t *testing.T) {
	for _, kind := range []openaitest.FaultKind{openaitest.FaultCut, openaitest.FaultEnd, openaitest.FaultClose, openaitest.FaultStatus} {
		fake := openaitest.New(t, openaitest.Options{Script: func([]int32, int64) []int32 { return openaitest.Encode("a long answer<|im_end|>") }})
		fake.Inject(openaitest.Fault{Kind: kind, Path: chatPath})
		c := client(t, fake.URL, "")
		if _, err := c.Stream(t.Context(), sampled(1), nil); !endpoint.Retryable(err) {
			t.Errorf("fault %d: %v, want what can be tried again", kind, err)
		}
		if got, err := c.Stream(t.Context(), sampled(1), nil); err != nil || got.FinishReason == "" {
			t.Errorf("after fault %d: %+v, %v", kind, got, err)
		}
		if n := len(fake.Requests(chatPath)); n != 2 {
			t.Errorf("fault %d: %d requests, want one for each call", kind, n)
		}
	}
}

// A server that stops in the middle of an answer: events come, then none, and
// the caller's own patience ends it.
func TestStreamStalls(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{Script: func([]int32, int64) []int32 { return openaitest.Encode("a long answer<|im_end|>") }})
	fake.Inject(openaitest.Fault{Kind: openaitest.FaultStall, Path: chatPath})
	c := client(t, fake.URL, "")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	enough := errors.New("enough")
	events := make(chan struct{}, 1000)
	var pool errgroup.Group
	pool.Go(func() error {
		_, err := c.Stream(ctx, sampled(1), func() { events <- struct{}{} })
		return err
	})
	<-events // the headers
	<-events // and a piece
	cancel(enough)
	if err := pool.Wait(); !errors.Is(err, enough) {
		t.Errorf("error %v, want the context's cause", err)
	}
	if err := fake.AwaitRunning(t.Context(), func(n int) bool { return n == 0 }); err != nil {
		t.Error(err)
	}
}

func TestStreamRefusesRequests(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	c := client(t, fake.URL, "")
	for name, change := range map[string]func(*ChatRequest){
		"no model":    func(r *ChatRequest) { r.Model = "" },
		"no messages": func(r *ChatRequest) { r.Messages = nil },
		"two answers": func(r *ChatRequest) { r.N = 2 },
		"no tokens":   func(r *ChatRequest) { r.MaxTokens = 0 },
	} {
		r := sampled(1)
		change(&r)
		if _, err := c.Stream(t.Context(), r, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n := len(fake.Requests("")); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
