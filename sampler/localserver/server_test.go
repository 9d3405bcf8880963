package localserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// TestFailures: whatever the engine does, the client is told and the server goes on.
func TestFailures(t *testing.T) {
	nan := func(_ context.Context, r Request) ([]Sample, error) {
		return []Sample{{Tokens: []Token{{ID: 5, Logprob: math.NaN(), Rank: 1}}, Finish: "length", StopToken: -1}}, nil
	}
	for _, c := range []struct {
		name   string
		engine toy
		path   string
		body   string
		status int
		want   string
	}{
		{"an error", toy{generate: func(context.Context, Request) ([]Sample, error) { return nil, errors.New("out of memory") }}, "/v1/completions",
			`{"prompt":"a"}`, 500, `{"error":{"message":"out of memory","type":"InternalServerError","param":null,"code":500}}`},
		{"a panic", toy{generate: func(context.Context, Request) ([]Sample, error) { panic("boom") }}, "/v1/completions",
			`{"prompt":["a","b"]}`, 500, `the engine panicked: boom`},
		{"a panic of the template", toy{}, "/v1/chat/completions",
			`{"messages":[{"role":"panic","content":"a"}]}`, 500, `{"error":{"message":"Internal Server Error","type":"InternalServerError","param":null,"code":500}}`},
		{"too few samples", toy{generate: func(context.Context, Request) ([]Sample, error) { return nil, nil }}, "/v1/completions", `{"prompt":"a"}`, 500, "0 samples for 1"},
		{"NaN log-probs", toy{generate: nan}, "/v1/completions", `{"prompt":"a","logprobs":0}`, 400,
			`{"error":{"message":"Out of range float values are not JSON compliant","type":"BadRequestError","param":null,"code":400}}`},
		{"NaN log-probs in a chat", toy{generate: nan}, "/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}],"logprobs":true}`, 400, "not JSON compliant"},
		{"NaN log-probs by id", toy{generate: nan}, "/inference/v1/generate", `{"token_ids":[1],"sampling_params":{"logprobs":1}}`, 400, "not JSON compliant"},
		{"NaN log-probs in a stream", toy{generate: func(ctx context.Context, r Request) ([]Sample, error) {
			s, _ := nan(ctx, r)
			r.OnToken(0, s[0].Tokens[0])
			return s, nil
		}}, "/v1/completions", `{"prompt":"a","logprobs":0,"stream":true}`, 200, `data: {"error": {"message": "Out of range float values are not JSON compliant"`},
		{"NaN log-probs that nobody asked for", toy{generate: nan}, "/v1/completions", `{"prompt":"a"}`, 200, `"finish_reason":"length"`},
		{"NaN scores", toy{score: func(context.Context, []int32, int) ([]Token, error) { return []Token{{Logprob: math.NaN()}}, nil }}, "/v1/completions",
			`{"prompt":"ab","prompt_logprobs":0}`, 400, "not JSON compliant"},
		{"an error in a stream", toy{generate: func(context.Context, Request) ([]Sample, error) { return nil, errors.New("out of memory") }}, "/v1/completions",
			`{"prompt":"a","stream":true}`, 200, "data: {\"error\": {\"message\": \"out of memory\", \"type\": \"InternalServerError\", \"param\": null, \"code\": 500}}\n\ndata: [DONE]\n\n"},
		{"an error of a load", toy{load: func(dir string) error { return fmt.Errorf("%s: no weights", dir) }}, "/collective_rpc", `{"method":"reload_weights"}`, 500,
			"Worker failed with error '/weights: no weights'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := toyServer(t, &c.engine, nil)
			status, reply := ask(s, c.path, c.body)
			if status != c.status || !strings.Contains(reply, c.want) {
				t.Errorf("%d %s, want %d and %s", status, reply, c.status, c.want)
			}
			if status, _ := ask(s, "/tokenize", `{"prompt":"a"}`); status != http.StatusOK {
				t.Errorf("the server is gone: %d", status)
			}
			if _, _, running := s.gate.state(); running != 0 || s.gate.samples != 0 {
				t.Errorf("%d generations and %d samples are left", running, s.gate.samples)
			}
		})
	}
}

func TestDeadEngine(t *testing.T) {
	s := toyServer(t, &toy{generate: func(context.Context, Request) ([]Sample, error) { return nil, fmt.Errorf("cuda: %w", ErrDead) }}, nil)
	health := func() int {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/health", nil))
		return w.Code
	}
	if health() != http.StatusOK {
		t.Error("not healthy at first")
	}
	for _, body := range []string{`{"prompt":"a"}`, `{"prompt":"a","stream":true}`} {
		if status, reply := ask(s, "/v1/completions", body); status != http.StatusInternalServerError || !strings.Contains(reply, "EngineCore encountered an issue") {
			t.Errorf("%d %s", status, reply)
		}
	}
	if health() != http.StatusServiceUnavailable {
		t.Error("healthy without an engine")
	}
}

func TestKeys(t *testing.T) {
	s := toyServer(t, &toy{}, func(o *Options) { o.APIKey = "secret" })
	for _, c := range []struct {
		method, path, header string
		want                 int
	}{
		{"GET", "/v1/models", "", 401},
		{"GET", "/v1/models", "Bearer secret", 200},
		{"GET", "/v1/models", "bearer secret", 200},
		{"GET", "/v1/models", "Bearer secre", 401},
		{"GET", "/v1/models", "Bearer", 401},
		{"GET", "/v1/models", "Basic secret", 401},
		{"GET", "/v1/nothing", "", 401},
		{"GET", "/v1/nothing", "Bearer secret", 404},
		{"POST", "/inference/v1/generate", "", 401},
		{"OPTIONS", "/v1/models", "", 405},
		{"GET", "/version", "", 200},
		{"GET", "/is_paused", "", 200},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s %s with %q: %d, want %d", c.method, c.path, c.header, w.Code, c.want)
		}
	}
}

// Where other machines reach it, every route but the one that says nothing asks
// for the key.
func TestKeyEverywhere(t *testing.T) {
	s := toyServer(t, &toy{}, func(o *Options) { o.APIKey, o.KeyEverywhere, o.DevMode = "secret", true, true })
	for _, c := range []struct {
		method, path string
		without      int
	}{
		{"POST", "/pause", 401}, {"POST", "/collective_rpc", 401}, {"POST", "/update_weight_version", 401}, {"GET", "/version", 401},
		{"GET", "/metrics", 401}, {"GET", "/v1/models", 401}, {"GET", "/nothing", 401}, {"GET", "/health", 200},
	} {
		for _, key := range []string{"", "secret"} {
			r := httptest.NewRequest(c.method, c.path, nil)
			if key != "" {
				r.Header.Set("Authorization", "Bearer "+key)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if key == "" && w.Code != c.without || key != "" && w.Code == 401 {
				t.Errorf("%s %s with key %q: %d", c.method, c.path, key, w.Code)
			}
		}
	}
}

func TestMetrics(t *testing.T) {
	s := toyServer(t, &toy{}, nil)
	ask(s, "/v1/completions", `{"prompt":"abc","n":2,"max_tokens":4}`)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`vllm:num_requests_running{engine="0",model_name="toy"} 3`, `vllm:num_requests_waiting{engine="0",model_name="toy"} 4`,
		`vllm:kv_cache_usage_perc{engine="0",model_name="toy"} 0.5`, `vllm:prompt_tokens_total{engine="0",model_name="toy"} 5`,
		`vllm:generation_tokens_total{engine="0",model_name="toy"} 6`, `vllm:prefix_cache_queries_total{engine="0",model_name="toy"} 7`,
		`vllm:prefix_cache_hits_total{engine="0",model_name="toy"} 8`, `vllm:num_preemptions_total{engine="0",model_name="toy"} 9`,
		`vllm:request_success_total{engine="0",finished_reason="length",model_name="toy"} 2`,
		`vllm:request_success_total{engine="0",finished_reason="abort",model_name="toy"} 0`,
		`vllm:time_to_first_token_seconds_count{engine="0",model_name="toy"} 1`, `vllm:e2e_request_latency_seconds_count{engine="0",model_name="toy"} 1`,
		`vllm:request_prompt_tokens_sum{engine="0",model_name="toy"} 3`, `vllm:request_generation_tokens_sum{engine="0",model_name="toy"} 8`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("no line %s in\n%s", want, w.Body)
		}
	}
}

// TestDefaults: what a request leaves out comes from the model's generation
// settings, but for
// /inference/v1/generate, which takes the number of tokens alone.
func TestDefaults(t *testing.T) {
	var got Request
	e := &toy{}
	e.generate = func(_ context.Context, r Request) ([]Sample, error) {
		got = r
		out := make([]Sample, r.N)
		for j := range out {
			out[j] = tell(r, j, "x")
		}
		return out, nil
	}
	x, k := 0.25, int64(5)
	s := toyServer(t, e, func(o *Options) {
		o.Defaults = Defaults{Temperature: &x, TopP: &x, MinP: &x, RepetitionPenalty: &x, TopK: &k, MaxTokens: &k}
		o.Seed = func() int64 { return 42 }
	})
	for _, c := range []struct {
		path, body string
		want       string // temperature top_p min_p repetition top_k max_tokens seed
	}{
		{"/v1/completions", `{"prompt":"a"}`, "0.25 0.25 0.25 0.25 5 16 42"},
		{"/v1/completions", `{"prompt":"a","temperature":1,"top_p":1,"min_p":0,"repetition_penalty":1,"top_k":-1,"seed":7}`, "1 1 0 1 -1 16 7"},
		{"/v1/completions", `{"prompt":"a","temperature":0}`, "0 1 0 0.25 -1 16 42"},
		{"/v1/completions", `{"prompt":"a","top_k":1000,"seed":-1}`, "0.25 0.25 0.25 0.25 -1 16 42"},
		{"/v1/completions", `{"prompt":"` + strings.Repeat("a", 120) + `"}`, "0.25 0.25 0.25 0.25 5 8 42"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}]}`, "0.25 0.25 0.25 0.25 5 5 42"},
		{"/inference/v1/generate", `{"token_ids":[5],"sampling_params":{}}`, "1 1 0 1 -1 5 42"},
	} {
		if status, reply := ask(s, c.path, c.body); status != http.StatusOK {
			t.Errorf("%s: %d %s", c.body, status, reply)
		}
		if line := fmt.Sprint(got.Temperature, got.TopP, got.MinP, got.RepetitionPenalty, got.TopK, got.MaxTokens, got.Seed); line != c.want {
			t.Errorf("%s %s: %s, want %s", c.path, c.body, line, c.want)
		}
	}
}

// TestUnsupported: a request for what this server lacks is not answered as if it had not asked.
func TestUnsupported(t *testing.T) {
	s := toyServer(t, &toy{}, nil)
	for field, value := range map[string]string{
		"use_beam_search": "true", "bad_words": `["a"]`, "structured_outputs": `{"regex":"a"}`, "suffix": `"a"`, "logprob_token_ids": "[1]",
		"response_format": `{"type":"json_object"}`, "truncate_prompt_tokens": "5",
	} {
		if status, reply := ask(s, "/v1/completions", `{"prompt":"a","`+field+`":`+value+`}`); status != http.StatusBadRequest || !strings.Contains(reply, field) {
			t.Errorf("%s: %d %s", field, status, reply)
		}
		if status, reply := ask(s, "/v1/completions", `{"prompt":"a","`+field+`":null}`); status != http.StatusOK {
			t.Errorf("%s of null: %d %s", field, status, reply)
		}
	}
	for _, body := range []string{
		`{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"text"}}`,
		`{"messages":[{"role":"user","content":"a"}],"tools":[{}],"tool_choice":"none"}`,
	} {
		if status, reply := ask(s, "/v1/chat/completions", body); status != http.StatusOK {
			t.Errorf("%s: %d %s", body, status, reply)
		}
	}
	if status, _ := ask(s, "/v1/chat/completions", `{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]}`); status != http.StatusBadRequest {
		t.Errorf("tools: %d", status)
	}
}

// TestRequestIDs: a header names a request before its body does.
func TestRequestIDs(t *testing.T) {
	s := toyServer(t, &toy{}, nil)
	for _, c := range []struct{ header, field, want string }{
		{"", `,"request_id":"body"`, `"id":"cmpl-body"`}, {"head", `,"request_id":"body"`, `"id":"cmpl-head"`}, {"head", "", `"id":"cmpl-head"`},
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/completions", strings.NewReader(`{"prompt":"a"`+c.field+`}`))
		r.Header.Set("Content-Type", "application/json")
		if c.header != "" {
			r.Header.Set("X-Request-Id", c.header)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("header %q, field %q: %s", c.header, c.field, w.Body)
		}
	}
}

// TestChatPrompts: what messages and template settings become.
func TestChatPrompts(t *testing.T) {
	s := toyServer(t, &toy{}, nil)
	for _, c := range []struct{ name, body, want string }{
		{"a message", `"messages":[{"role":"user","content":"a"}]`, "user: a\nassistant: "},
		{"parts", `"messages":[{"role":"user","content":[{"type":"text","text":"a"},"b"]}]`, "user: a\nb\nassistant: "},
		{"no content", `"messages":[{"role":"user"}]`, "user: \nassistant: "},
		{"no generation prompt", `"messages":[{"role":"user","content":"a"}],"add_generation_prompt":false`, "user: a\n"},
		{"settings", `"messages":[{"role":"user","content":"a"}],"chat_template_kwargs":{"style":[1,"x"]}`, "user: a\n[[1 x]]assistant: "},
		{"going on", `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":" b a "}],"add_generation_prompt":false,"continue_final_message":true`, "user: a\nassistant:  b a "},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, reply := ask(s, "/v1/chat/completions", `{"return_prompt_text":true,"max_tokens":1,`+c.body+`}`)
			want, err := marshal(c.want)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(reply, `"prompt_text":`+string(want)+`,`) {
				t.Errorf("%s, want the prompt %s", reply, want)
			}
		})
	}
}

// TestClientsThatVanish: their generations end with them.
func TestClientsThatVanish(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	s := toyServer(t, &toy{generate: func(ctx context.Context, _ Request) ([]Sample, error) {
		close(started)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, ctx.Err()
	}}, nil)
	web := httptest.NewServer(s)
	defer web.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var pool errgroup.Group
	pool.Go(func() error {
		_, _, err := post(ctx, web.URL+"/v1/completions", `{"prompt":"a","stream":true}`)
		return err
	})
	<-started
	cancel()
	if err := <-ended; errors.Is(err, ErrAborted) || err == nil {
		t.Errorf("the cause is %v", err)
	}
	if err := pool.Wait(); !errors.Is(err, context.Canceled) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the client: %v", err)
	}
}
