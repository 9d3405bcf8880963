package evaluate

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler/openai"
	"github.com/justrl/justrl/sampler/openaitest"
)

func question(seed int64) openai.ChatRequest {
	return openai.ChatRequest{
		Messages: []openai.Message{{Role: "user", Content: "What is 2 + 2?"}}, N: 1, Temperature: 0.7, TopP: 0.9, MaxTokens: 100, Seed: seed,
		Extensions: openai.Neutral(),
	}
}

func TestFind(t *testing.T) {
	vllm := openaitest.New(t, openaitest.Options{MaxModelLen: 777})
	lists := map[string]string{
		"two":     `{"data":[{"id":"a"},{"id":"b","root":"/b"}]}`,
		"adapter": `{"data":[{"id":"base","max_model_len":99},{"id":"ada","parent":"base","max_model_len":null}]}`,
		"tagged":  `{"data":[{"id":"qwen:7b"},{"id":"qwen:latest"}]}`,
		"none":    `{"data":[]}`,
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if !strings.HasSuffix(r.URL.Path, "/v1/models") {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(lists[name]))
	}))
	defer other.Close()
	for _, c := range []struct {
		name, url, model string
		want             ServerInfo
		err              string
	}{
		{"a vLLM", vllm.URL, "", ServerInfo{Model: "tiny", OwnedBy: "vllm", Version: "0.32.0", MaxModelLen: 777}, ""},
		{"by name", vllm.URL, "tiny", ServerInfo{Model: "tiny", OwnedBy: "vllm", Version: "0.32.0", MaxModelLen: 777}, ""},
		{"a name it does not have", vllm.URL, "big", ServerInfo{}, `does not serve "big"; it serves tiny`},
		{"two models", other.URL + "/two", "", ServerInfo{}, "serves 2 models (a, b); name one with --served-model"},
		{"Ollama's name without its tag", other.URL + "/tagged", "qwen", ServerInfo{Model: "qwen:latest"}, ""},
		{"one of two", other.URL + "/two", "b", ServerInfo{Model: "b", Root: "/b"}, ""},
		{"the one that is no adapter", other.URL + "/adapter", "", ServerInfo{Model: "base", MaxModelLen: 99}, ""},
		{"an adapter has its base's context", other.URL + "/adapter", "ada", ServerInfo{Model: "ada", MaxModelLen: 99}, ""},
		{"no model", other.URL + "/none", "", ServerInfo{}, "serves 0 models"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := endpoint.New(c.url, endpoint.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			s, err := Find(t.Context(), e, c.model, endpoint.Retry{Tries: 1})
			if c.err != "" {
				var cannot *CannotError
				if !errors.As(err, &cannot) || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := s.Info
			if got.Root == "" && c.want.Root == "" || c.name == "a vLLM" || c.name == "by name" {
				got.Root = ""
			}
			c.want.URL = c.url
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// Whatever goes wrong once is tried again.
func TestAskTriesAgain(t *testing.T) {
	for _, kind := range []openaitest.FaultKind{openaitest.FaultStatus, openaitest.FaultClose, openaitest.FaultCut, openaitest.FaultEnd} {
		for _, status := range []int{429, 500, 503} {
			if kind != openaitest.FaultStatus && status != 500 {
				continue
			}
			server := answers(t, nil)
			server.Inject(openaitest.Fault{Kind: kind, Path: path, Status: status, Times: 3})
			a, err := fleet(t, server.URL).Ask(t.Context(), question(2))
			if err != nil || a.Text != `So it is \boxed{4}.` {
				t.Errorf("fault %d (%d): %+v, %v", kind, status, a, err)
			}
			if n := len(server.Requests(path)); n != 4 {
				t.Errorf("fault %d: %d requests, want 4", kind, n)
			}
		}
	}
}

// An answer that breaks off half-way is another matter than a server that is
// not there: it starts with new patience, but not for ever.
func TestAskGivesUp(t *testing.T) {
	for _, c := range []struct {
		kind openaitest.FaultKind
		want int
	}{{openaitest.FaultEnd, 1 + maxBreaks}, {openaitest.FaultClose, 1}} {
		server := answers(t, nil)
		server.Inject(openaitest.Fault{Kind: c.kind, Path: path, Times: -1})
		f := fleet(t, server.URL)
		f.Retry = endpoint.Retry{Tries: 1}
		if _, err := f.Ask(t.Context(), question(2)); !endpoint.Retryable(err) {
			t.Errorf("fault %d: %v", c.kind, err)
		}
		if n := len(server.Requests(path)); n != c.want {
			t.Errorf("fault %d: %d requests, want %d", c.kind, n, c.want)
		}
	}
	server := answers(t, nil)
	server.Inject(openaitest.Fault{Kind: openaitest.FaultStatus, Path: path, Status: 400})
	if _, err := fleet(t, server.URL).Ask(t.Context(), question(2)); err == nil || len(server.Requests(path)) != 1 {
		t.Errorf("a refusal: %v after %d requests", err, len(server.Requests(path)))
	}
}

// An engine's death is not the end where there is another server, or where it
// is started again.
func TestAskOfADeadEngine(t *testing.T) {
	dead, alive := answers(t, nil), answers(t, nil)
	fault := openaitest.Fault{Kind: openaitest.FaultStatus, Path: path, Status: 500, Times: -1,
		Body: `{"error":{"message":"EngineCore encountered an issue. See stack trace.","type":"InternalServerError","code":500}}`}
	dead.Inject(fault)
	for seed := range int64(8) {
		if a, err := fleet(t, dead.URL, alive.URL).Ask(t.Context(), question(seed)); err != nil || a.Text == "" {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	f := fleet(t, dead.URL)
	f.Retry = endpoint.Retry{Tries: 2, First: time.Millisecond}
	_, err := f.Ask(t.Context(), question(1))
	var gone *endpoint.UnreachableError
	if !errors.As(err, &gone) || !strings.Contains(err.Error(), "EngineCore") || !strings.Contains(err.Error(), "start it again") {
		t.Errorf("error %v", err)
	}
}

func TestServersShareTheWork(t *testing.T) {
	slow := func(o *openaitest.Options) { o.TokenTime = time.Hour }
	a, b, c := answers(t, slow), answers(t, slow), answers(t, slow)
	f := fleet(t, a.URL, b.URL, c.URL)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pool errgroup.Group
	for range 9 {
		pool.Go(func() error { _, err := f.Ask(ctx, question(1)); return err })
	}
	for i, s := range []*openaitest.Server{a, b, c} {
		if err := s.AwaitRunning(t.Context(), func(n int) bool { return n == 3 }); err != nil {
			t.Errorf("server %d does not get its share: %v", i, err)
		}
	}
	cancel()
	if err := pool.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// A server that goes leaves its work to the others.
func TestOneServerGoes(t *testing.T) {
	a, b := answers(t, nil), answers(t, nil)
	f := fleet(t, a.URL, b.URL)
	store := &memory{}
	e := evaluation(f, store, 10, 4)
	var once sync.Once
	var pool errgroup.Group
	e.OnKnown = func(*Cell, int) { once.Do(func() { pool.Go(func() error { a.Close(); return nil }) }) }
	if _, err := e.Run(t.Context()); err != nil || len(store.all) != 40 {
		t.Errorf("%d answers, %v", len(store.all), err)
	}
	_ = pool.Wait()
	if n := len(b.Requests(path)); n < 20 {
		t.Errorf("the server that stayed had %d requests", n)
	}
}

func TestTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &Server{}, &Server{}
		f, err := NewFleet(a, b)
		if err != nil {
			t.Fatal(err)
		}
		if s := f.take(); s != a {
			t.Fatal("not the first of two idle ones")
		}
		if s := f.take(); s != b {
			t.Fatal("not the least busy one")
		}
		down := &endpoint.UnreachableError{Err: errors.New("gone")}
		f.give(a, down)
		f.give(a, down) // of the same failure
		if a.falls != 1 || f.take() != b {
			t.Fatal("not the one that is up")
		}
		time.Sleep(2 * time.Second)
		if s := f.take(); s != a {
			t.Fatal("not the one that may be up again")
		}
		f.give(a, down)
		f.give(b, down)
		if s := f.take(); s != b {
			t.Fatal("not the one whose time is over first")
		}
		f.give(b, nil)
		if b.falls != 0 || f.take() != b {
			t.Fatal("it is not up again")
		}
	})
	if _, err := NewFleet(); err == nil {
		t.Error("a fleet of no servers")
	}
}

// The context of a server is less than what is asked for.
func TestClipped(t *testing.T) {
	t.Run("vLLM cuts", func(t *testing.T) {
		server := answers(t, func(o *openaitest.Options) {
			o.MaxModelLen = 100
			o.Script = func([]int32, int64) []int32 { return openaitest.Encode(strings.Repeat("x", 1000)) }
		})
		f := fleet(t, server.URL)
		r := question(2)
		r.MaxTokens = 31744
		a, err := f.Ask(t.Context(), r)
		if err != nil || a.FinishReason != "length" || a.Tokens != 100-a.PromptTokens || f.Findings().Clipped != a.Tokens {
			t.Errorf("%+v, %v, findings %+v", a, err, f.Findings())
		}
	})
	t.Run("an answer that fits is not cut", func(t *testing.T) {
		f := fleet(t, answers(t, nil).URL)
		r := question(2)
		r.MaxTokens = 31744
		if a, err := f.Ask(t.Context(), r); err != nil || a.FinishReason != "stop" || f.Findings() != (Findings{}) {
			t.Errorf("%+v, %v, findings %+v", a, err, f.Findings())
		}
	})
	for name, message := range map[string]string{
		"vLLM of old":   "This model's maximum context length is 150 tokens. However, you requested 31790 tokens (46 in the messages, 31744 in the completion). Please reduce the length of the messages or completion.",
		"vLLM of since": "'max_tokens' or 'max_completion_tokens' is too large: 31744. This model's maximum context length is 150 tokens and your request has 46 input tokens (31744 > 150 - 46).",
	} {
		t.Run(name+" refuses", func(t *testing.T) {
			server := answers(t, func(o *openaitest.Options) {
				o.Script = func([]int32, int64) []int32 { return openaitest.Encode(strings.Repeat("x", 1000)) }
			})
			server.Inject(openaitest.Fault{Kind: openaitest.FaultStatus, Path: path, Status: 400, Body: `{"object":"error","message":"` + message + `","type":"BadRequestError","param":null,"code":400}`})
			f := fleet(t, server.URL)
			f.servers[0].Info.MaxModelLen = 0
			r := question(2)
			r.MaxTokens = 31744
			a, err := f.Ask(t.Context(), r)
			if err != nil || a.Tokens != 104 || f.Findings().Clipped != 104 {
				t.Errorf("%+v, %v, findings %+v", a, err, f.Findings())
			}
		})
	}
}

func TestRoomLeft(t *testing.T) {
	for _, c := range []struct {
		err  error
		room int
		ok   bool
	}{
		{nil, 0, false},
		{errors.New("maximum context length is 10 tokens (3 in the messages)"), 0, false},
		{&endpoint.StatusError{Status: 400, Message: "maximum context length is 10 tokens … (3 in the messages, 9 in"}, 7, true},
		{&endpoint.StatusError{Status: 400, Message: "maximum context length is 10 tokens and your request has 12 input tokens"}, -2, true},
		{&endpoint.StatusError{Status: 500, Message: "maximum context length is 10 tokens and your request has 2 input tokens"}, 0, false},
		{&endpoint.StatusError{Status: 400, Message: "maximum context length is 10 tokens. However, your prompt contains 600 input tokens"}, 0, false},
		{&endpoint.StatusError{Status: 400, Message: "maximum context length is 99999999999999999999 tokens (3 in the messages"}, 0, false},
	} {
		if room, ok := roomLeft(c.err); ok != c.ok || ok && room != c.room {
			t.Errorf("%v: %d, %t", c.err, room, ok)
		}
	}
}
