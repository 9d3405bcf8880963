package localserver

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/justrl/justrl/internal/guard"
)

// Server answers vLLM's routes. It is an http.Handler, safe for concurrent use.
type Server struct {
	o           Options
	model       Model
	maxChars    int // of a token
	fingerprint string
	created     int64
	gate        *gate
	metrics     *metrics
	mux         *http.ServeMux
	dead        atomic.Bool  // the engine has ended for good
	load        atomic.Int64 // requests under way

	mu      sync.Mutex
	version string // of the weights, as /update_weight_version set it
	root    string // folder of the weights: what a reload without a path reads
}

var _ http.Handler = (*Server)(nil)

// New makes a server; it is ready at once, and nothing of it runs.
func New(o Options) (*Server, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	s := &Server{
		o: o, model: o.Engine.Model(), maxChars: o.Tokenizer.MaxTokenChars(), fingerprint: "vllm-" + o.Version + "-" + o.Fingerprint,
		created: time.Now().Unix(), gate: newGate(o.Engine, o.MaxSamples), version: "default", root: o.Root, mux: http.NewServeMux(),
	}
	s.metrics = newMetrics(s)
	s.routes()
	return s, nil
}

// ServeHTTP answers a request. A panic ends the request, not the server.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.load.Add(1)
	defer s.load.Add(-1)
	started := &startedWriter{ResponseWriter: w}
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p)
		}
		s.o.Log.Error("a handler panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
		if started.started {
			panic(http.ErrAbortHandler) // the client must not take what it got for the whole
		}
		(&refusal{status: http.StatusInternalServerError, typ: "InternalServerError", message: "Internal Server Error"}).write(w)
	}()
	if s.o.APIKey != "" && (guarded(r.URL.Path) || s.o.KeyEverywhere && r.URL.Path != "/health") && r.Method != http.MethodOptions && !s.authorised(r) {
		writeBody(started, http.StatusUnauthorized, []byte(`{"error":"Unauthorized"}`))
		return
	}
	s.mux.ServeHTTP(started, r)
}

// startedWriter knows whether an answer has begun.
type startedWriter struct {
	http.ResponseWriter
	started bool
}

func (w *startedWriter) WriteHeader(status int) {
	w.started = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *startedWriter) Write(b []byte) (int, error) {
	w.started = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *startedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// guarded are the paths for which vLLM asks for a key.
func guarded(path string) bool {
	for _, prefix := range []string{"/v1", "/v2", "/inference", "/cohere"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

func (s *Server) authorised(r *http.Request) bool {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got, want := sha256.Sum256([]byte(key)), sha256.Sum256([]byte(s.o.APIKey))
	return strings.EqualFold(scheme, "bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// Serve answers on l until ctx ends, then closes l, cancels the requests under
// way, and returns nil when none is left. Another error is l's. l is closed in
// either case.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s, MaxHeaderBytes: s.o.MaxHeader, ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelWarn),
	}
	return guard.ServeUntil(ctx, l, server, func() { s.gate.engine.Freeze(false) })
}
