// Package openaitest is a fake vLLM server for tests, with a policy of its
// own: deterministic, seeded, changed by reloading weights from a folder, and
// wrong on demand.
//
// It is sampler/localserver, vLLM 0.32's dialect, over a small engine. Its
// log-probs come from a [Policy], a bigram table that is a pure function of a
// seed and of the bytes of the weights it was told to load, so that a test can
// compute them too, and a whole training loop can run against it without
// torch. A [Fault] makes it misbehave, once or for ever.
//
// It is held to a real one: testdata/vllm.jsonl are a real vLLM's answers, and
// the fake's must have their shape, and the words of their errors.
// recorded_test.go says how to record them again.
//
// What it does not imitate: batch noise (it is exact, whatever else runs), and
// what localserver leaves out.
package openaitest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/justrl/justrl/sampler/localserver"
)

// Options are a Server's settings; the zero value is a working server.
// [Server.Set] can change KeepOldWeights, KeepOldCache, TokenTime, Script and
// Logprobs while it runs.
type Options struct {
	Model       string // served name; "" is "tiny"
	ModelDir    string // folder of the weights it starts with; "" starts with made-up ones
	Vocab       int    // number of token ids; 0 is 512
	EOS         int32  // the end-of-sequence token; 0 is 2
	MaxModelLen int    // prompt and answer together; 0 is 512
	PolicySeed  uint64 // seed of the policy's table
	// Step is how far reloading weights moves the policy's logits; 0 is 0.05.
	Step float64
	// Block is the tokens of a prefix-cache block; 0 is 16. Prompts share
	// cached blocks only whole.
	Block int
	// Version is what /version says; "" is 0.32.0.
	Version string
	// APIKey protects /v1/… (and only those, like vLLM); "" is open.
	APIKey string
	// NoDevMode hides the development routes: 404.
	NoDevMode bool
	// Processed makes log-probs those of the distribution that was sampled from (--logprobs-mode processed_logprobs).
	Processed bool
	// IgnoreTemperature samples at temperature 1, whatever is asked for.
	IgnoreTemperature bool
	// KeepOldWeights acknowledges reloads and goes on with the old weights.
	KeepOldWeights bool
	// KeepOldCache acknowledges resets of the prefix cache and keeps it.
	KeepOldCache bool
	// TokenTime is how long a token takes.
	TokenTime time.Duration
	// Decode turns sampled ids, special tokens left out, into text; nil is this package's own [Decode].
	Decode func(ids []int32) string
	// Encode turns text into ids; nil is this package's own [Encode].
	Encode func(text string) []int32
	// Script, when it returns ids, replaces sampling: sample j of a request
	// with this prompt and this stream's seed (0 of a greedy one) gives these
	// tokens, with the policy's log-probs.
	Script func(prompt []int32, seed int64) []int32
	// Logprobs, when set, is a real model in the place of the policy: the T-1
	// log-probs of a sequence under the weights in a folder, the one that was
	// loaded last (ModelDir at first). With Script it makes a server that
	// serves what a trainer exports. It may be called concurrently.
	Logprobs func(dir string, ids []int32) []float32
}

// Server is a running fake. Its methods are safe for concurrent use.
type Server struct {
	// URL is the server's root, such as http://127.0.0.1:43211.
	URL string

	http   *httptest.Server
	engine *engine
	stop   chan struct{} // closed when the server closes: hung requests end
	closed sync.Once

	mu       sync.Mutex
	requests []Request
	faults   []*Fault
}

// Request is one request as it arrived.
type Request struct {
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	Body   []byte
}

// New starts a server that t closes at its end.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	o = withDefaults(o)
	s := &Server{engine: newEngine(o), stop: make(chan struct{})}
	if o.ModelDir != "" {
		sum, err := HashWeights(o.ModelDir)
		if err != nil {
			t.Fatalf("openaitest: %v", err)
		}
		s.engine.weights, s.engine.served = sum, o.ModelDir
	}
	local, err := localserver.New(localserver.Options{
		Engine: s.engine, Tokenizer: vocabulary{o}, Models: []string{o.Model}, Root: o.ModelDir, Version: o.Version,
		Fingerprint: "fake", APIKey: o.APIKey, DevMode: !o.NoDevMode,
		Seed: func() int64 { return 0 }, // unlike vLLM's: the same request has the same answer
	})
	if err != nil {
		t.Fatalf("openaitest: %v", err)
	}
	s.http = httptest.NewServer(s.handler(local))
	s.URL = s.http.URL
	t.Cleanup(s.Close)
	return s
}

// Close ends the server, as a crash does: requests under way get no answer,
// and its address refuses connections. t does it if nobody else has.
func (s *Server) Close() {
	s.closed.Do(func() {
		close(s.stop)
		s.http.CloseClientConnections()
		s.http.Close()
	})
}

func withDefaults(o Options) Options {
	def := func(p *int, d int) {
		if *p == 0 {
			*p = d
		}
	}
	def(&o.Vocab, 512)
	def(&o.MaxModelLen, 512)
	def(&o.Block, 16)
	if o.EOS == 0 {
		o.EOS = 2
	}
	if o.Model == "" {
		o.Model = "tiny"
	}
	if o.Version == "" {
		o.Version = "0.32.0"
	}
	if o.Step == 0 {
		o.Step = 0.05
	}
	return o
}

// Set changes options of the running server, such as KeepOldWeights.
func (s *Server) Set(change func(*Options)) {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	change(&s.engine.o)
}

// Requests are all requests so far to path ("" is every path), in order of arrival.
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

// Running is the number of generations under way: prompts, whatever n is.
func (s *Server) Running() int { return s.engine.Stats().Running }

// AwaitRunning waits until the number of generations under way satisfies ok, or ctx ends.
func (s *Server) AwaitRunning(ctx context.Context, ok func(n int) bool) error {
	return s.engine.mu.Until(ctx, func() bool { return ok(s.engine.running) })
}

// Policy is the policy that the server uses now.
func (s *Server) Policy() *Policy {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	return s.engine.policy(s.engine.weights)
}

// handler records every request, lets faults strike, and hands it on.
func (s *Server) handler(right http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.mu.Lock()
		s.requests = append(s.requests, Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header.Clone(), Body: body})
		s.mu.Unlock()
		if fault, ok := s.strike(r.URL.Path); ok {
			s.misbehave(fault, right, w, r)
			return
		}
		right.ServeHTTP(w, r)
	})
}
