// Package sglangtest is a fake SGLang server for tests: the policy of
// sampler/openaitest behind SGLang's own API.
//
// SGLang needs a GPU or AMX, so that this fake was held to no real server. Its
// shapes are those of SGLang 0.5's sources (github.com/sgl-project/sglang):
// python/sglang/srt/entrypoints/http_server.py (the routes, their statuses and
// replies; at commit 0025436eab05 model, server and version are at
// /get_model_info, /get_server_info and /get_weight_version),
// python/sglang/srt/managers/io_struct.py (GenerateReqInput: lists of prompts
// with a list of parameters; n repeats one set of parameters, seed included; at
// 001067fffe33), python/sglang/srt/sampling/sampling_params.py (the names and
// the words of refusals; at 00c17cafcb9e), sampling_batch_info.py (seeds are
// heeded only with --enable-deterministic-inference, 42 where none is given)
// and docs/advanced_features/sglang_for_rl.md (modes of a pause; at 067bfe93626b).
//
// What it does not imitate: speculative decoding, LoRA, streams, the scheduler's
// own bound of a few tokens below the context, in_place and retract pauses.
package sglangtest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/goccy/go-json"

	"github.com/justrl/justrl/internal/watched"
	"github.com/justrl/justrl/sampler/localserver"
	"github.com/justrl/justrl/sampler/openaitest"
)

// Options are a Server's settings; the zero value is a working server that
// heeds seeds.
type Options struct {
	// Policy is what is served: Model, Vocab, EOS, MaxModelLen, ModelDir,
	// TokenTime, Script and the like. Processed is set unless Original is.
	Policy openaitest.Options
	// Original is SGLANG_RETURN_ORIGINAL_LOGPROB=1: raw log-probs.
	Original bool
	// Unseeded is a server without --enable-deterministic-inference.
	Unseeded bool
	// Renamed has /model_info and /server_info, as later versions do, and not the names with get_.
	Renamed bool
	// NoControl has none of the routes that load weights: 404, as a gateway in front has it.
	NoControl bool
	// KeepOldWeights acknowledges loads and goes on with the old weights.
	KeepOldWeights bool
}

// Server is a running fake. Its methods are safe for concurrent use.
type Server struct {
	// URL is the server's root.
	URL string

	o      Options
	engine localserver.Engine
	http   *httptest.Server

	mu        watched.Lock
	paused    bool
	tag       string
	root      string
	running   map[int]context.CancelCauseFunc // sequences under way
	next      int
	unseeded  int64 // the last seed that was made up
	takeovers []*takeover
	requests  []Request
	closed    sync.Once
}

// Request is one request as it arrived.
type Request struct {
	Method string
	Path   string
	Body   []byte
}

// takeover is a handler in the place of the right one.
type takeover struct {
	path  string
	times int
	do    func(right http.Handler, w http.ResponseWriter, r *http.Request)
}

// New starts a server that t closes at its end.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	p := &o.Policy
	p.Processed = !o.Original
	p.KeepOldWeights = o.KeepOldWeights
	if p.Model == "" {
		p.Model = "tiny"
	}
	s := &Server{o: o, engine: openaitest.NewEngine(*p), tag: "default", root: p.ModelDir, running: map[int]context.CancelCauseFunc{}}
	if s.root == "" {
		s.root = p.Model
	} else if err := s.engine.Load(t.Context(), s.root); err != nil {
		t.Fatalf("sglangtest: %v", err)
	}
	s.http = httptest.NewServer(s.handler())
	s.URL = s.http.URL
	t.Cleanup(s.Close)
	return s
}

// Close ends the server, as a crash does.
func (s *Server) Close() {
	s.closed.Do(func() {
		s.http.CloseClientConnections()
		s.http.Close()
	})
}

// Paused tells whether generation is paused.
func (s *Server) Paused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused
}

// Running is the number of sequences under way.
func (s *Server) Running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.running)
}

// AwaitRunning waits until the number of sequences under way satisfies ok, or ctx ends.
func (s *Server) AwaitRunning(ctx context.Context, ok func(n int) bool) error {
	return s.mu.Until(ctx, func() bool { return ok(len(s.running)) })
}

// Requests are all requests so far to path ("" is every path), in order.
func (s *Server) Requests(path string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Request
	for _, r := range s.requests {
		if path == "" || r.Path == path {
			out = append(out, r)
		}
	}
	return out
}

// Takeover has do answer the next requests to path, so many times (negative is
// for ever); right is what would have answered.
func (s *Server) Takeover(path string, times int, do func(right http.Handler, w http.ResponseWriter, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takeovers = append(s.takeovers, &takeover{path, times, do})
}

// Edit changes the next right reply of /generate: a list of answers.
func (s *Server) Edit(change func(answers []map[string]any) any) {
	s.Takeover("/generate", 1, func(right http.Handler, w http.ResponseWriter, r *http.Request) {
		whole := httptest.NewRecorder()
		right.ServeHTTP(whole, r)
		var answers []map[string]any
		if err := json.Unmarshal(whole.Body.Bytes(), &answers); err != nil {
			reply(w, whole.Code, json.RawMessage(whole.Body.Bytes()))
			return
		}
		reply(w, whole.Code, change(answers))
	})
}

// Fail has the next requests to path answered with a status and a message.
func (s *Server) Fail(path string, times, status int, message string) {
	s.Takeover(path, times, func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		refuse(w, status, message)
	})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}

// refuse answers in the shape of _create_error_response.
func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]any{"error": map[string]any{"message": message}})
}
