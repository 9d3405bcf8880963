package openai

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openaitest"
)

func TestModels(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       []Model
	}{
		{"vLLM with an adapter", `{"object":"list","data":[
			{"id":"tiny","object":"model","created":1,"owned_by":"vllm","root":"/m/tiny","parent":null,"max_model_len":512,"permission":[{"id":"p"}]},
			{"id":"ada","object":"model","created":1,"owned_by":"vllm","root":"/m/ada","parent":"tiny","max_model_len":null,"permission":[]}]}`,
			[]Model{{ID: "tiny", Root: "/m/tiny", OwnedBy: "vllm", MaxModelLen: 512}, {ID: "ada", Root: "/m/ada", Parent: "tiny", OwnedBy: "vllm"}}},
		{"a server that says the least", `{"data":[{"id":"b"},{"id":"a"}]}`, []Model{{ID: "b"}, {ID: "a"}}},
		{"no models", `{"object":"list","data":[]}`, []Model{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := client(t, serve(t, c.body).URL, "").Models(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	t.Run("the fake's", func(t *testing.T) {
		fake := openaitest.New(t, openaitest.Options{APIKey: "sk"})
		got, err := client(t, fake.URL, "sk").Models(t.Context())
		if err != nil || len(got) != 1 || got[0].ID != "tiny" || got[0].OwnedBy != "vllm" || got[0].MaxModelLen != 512 {
			t.Errorf("models %+v, %v", got, err)
		}
	})
}

// TestChatBytes pins what goes over the wire: a field that is zero is sent all
// the same, or the server's default would take its place.
func TestChatBytes(t *testing.T) {
	for _, c := range []struct {
		name, key string
		change    func(*ChatRequest)
		want      string
	}{
		{"greedy", "sk-1", func(*ChatRequest) {}, `{"model":"tiny","messages":[{"role":"user","content":"Is <b>2</b> right?"}],"n":1,"temperature":0,"top_p":1,"max_tokens":8,"seed":0,"stop":[]}`},
		{"sampled", "", func(r *ChatRequest) {
			r.N, r.Temperature, r.TopP, r.Seed, r.Stop = 2, 0.7, 0.9, 1<<52, []string{"\n"}
			r.Messages = append([]Message{{Role: "system", Content: ""}}, r.Messages...)
		}, `{"model":"tiny","messages":[{"role":"system","content":""},{"role":"user","content":"Is <b>2</b> right?"}],"n":2,"temperature":0.7,"top_p":0.9,"max_tokens":8,"seed":4503599627370496,"stop":["\n"]}`},
		{"a name that go-openai takes for a model without chat", "", func(r *ChatRequest) { r.Model = "gpt-3.5-turbo-instruct" },
			`{"model":"gpt-3.5-turbo-instruct","messages":[{"role":"user","content":"Is <b>2</b> right?"}],"n":1,"temperature":0,"top_p":1,"max_tokens":8,"seed":0,"stop":[]}`},
		{"a name that go-openai takes for a reasoning model", "", func(r *ChatRequest) { r.Model = "o1-mini" },
			`{"model":"o1-mini","messages":[{"role":"user","content":"Is <b>2</b> right?"}],"n":1,"temperature":0,"top_p":1,"max_tokens":8,"seed":0,"stop":[]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := judge()
			c.change(&r)
			fake := openaitest.New(t, openaitest.Options{APIKey: c.key, Model: r.Model})
			if _, err := client(t, fake.URL+"/v1/", c.key).Chat(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			sent := fake.Requests("")
			if len(sent) != 1 || sent[0].Method != http.MethodPost || sent[0].Path != "/v1/chat/completions" {
				t.Fatalf("sent %+v", sent)
			}
			if diff := cmp.Diff(c.want, string(sent[0].Body)); diff != "" {
				t.Errorf("(-want +sent)\n%s", diff)
			}
			header := sent[0].Header
			if got := header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
			want := []string(nil)
			if c.key != "" {
				want = []string{"Bearer " + c.key}
			}
			if diff := cmp.Diff(want, header["Authorization"]); diff != "" {
				t.Errorf("Authorization (-want +sent)\n%s", diff)
			}
		})
	}
}

func TestChatOnTheFake(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	c := client(t, fake.URL, "")
	r := judge()
	r.N, r.Temperature, r.Seed = 4, 1, 5
	whole, err := c.Chat(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for j := range whole { // choice j of seed s is the choice of seed s+j
		r.N, r.Seed = 1, 5+int64(j)
		alone, err := c.Chat(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if alone[0] != whole[j] || alone[0].FinishReason == "" {
			t.Errorf("choice %d is %+v, alone %+v", j, whole[j], alone[0])
		}
	}
}

func TestChatRefusesRequests(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{})
	c := client(t, fake.URL, "")
	for name, change := range map[string]func(*ChatRequest){
		"no model":    func(r *ChatRequest) { r.Model = "" },
		"no messages": func(r *ChatRequest) { r.Messages = nil },
		"no answers":  func(r *ChatRequest) { r.N = 0 },
		"no tokens":   func(r *ChatRequest) { r.MaxTokens = 0 },
	} {
		r := judge()
		change(&r)
		if got, err := c.Chat(t.Context(), r); err == nil || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if n := len(fake.Requests("")); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestCancelReachesTheServer(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{TokenTime: time.Minute})
	c := client(t, fake.URL, "")
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var pool errgroup.Group
	pool.Go(func() error {
		_, err := c.Chat(ctx, judge())
		return err
	})
	await(t, fake, 1)
	cancel(enough)
	err := pool.Wait()
	if !errors.Is(err, enough) || endpoint.Retryable(err) {
		t.Errorf("error %v, want the context's cause", err)
	}
	await(t, fake, 0)
	if n := len(fake.Requests("")); n != 1 {
		t.Errorf("%d requests for one that was cancelled", n)
	}
	if _, err := c.Models(ctx); !errors.Is(err, enough) || len(fake.Requests("/v1/models")) != 0 {
		t.Errorf("with an ended context: %v, %d requests", err, len(fake.Requests("/v1/models")))
	}
}

func await(t *testing.T, fake *openaitest.Server, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := fake.AwaitRunning(ctx, func(running int) bool { return running == n }); err != nil {
		t.Fatalf("waiting for %d requests: %v", n, err)
	}
}

func TestRepliesAreBounded(t *testing.T) {
	srv := serve(t, `{"data":[{"id":"`+strings.Repeat("x", 2000)+`"}]}`)
	e, err := endpoint.New(srv.URL, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	for limit, fits := range map[int64]bool{1000: false, 3000: true} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := doer{e, limit}.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if n, err := readAll(resp); (err == nil) != fits || int64(n) > limit {
			t.Errorf("limit %d: read %d bytes, %v", limit, n, err)
		}
	}
}
