// Package ollamatest is for tests: a fake Ollama with the routes that justrl uses. It
// keeps blobs and models as Ollama does, serves a language model that is a hash of the
// weights' bytes, and shows of tokens what Ollama shows. It is held to replies of a real
// Ollama by testdata/ollama.jsonl (scripts/record-ollama).
package ollamatest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/ollama/ollama/api"
)

// Tokenizer is the served model's.
type Tokenizer interface {
	Encode(text string) []int32
	Decode(ids []int32, skipSpecial bool) string
}

// Faults are the ways in which a Server misbehaves. The zero value is a right server.
type Faults struct {
	KeepWeights bool    // creates models and goes on with the runner of the older weights
	Begins      bool    // puts the token Begin before every prompt
	ExtraToken  bool    // puts a token before every prompt of which it does not tell
	NoPieces    bool    // gives no log-probs, as before 0.12.11
	Drop        int     // so many answers lose a byte of their text
	Cut         int     // so many generations lose their connection
	FailCreates int     // so many creations answer with an error in the stream
	Busy        int     // so many generations answer 503
	Processed   bool    // gives log-probs after temperature
	Noise       float64 // adds so much to every other log-prob
}

// Options are a Server's settings.
type Options struct {
	Tokenizer  Tokenizer // required
	Vocab      int       // required
	End, Begin int32
	Context    int    // of the model; 0 is 512
	Model      string // that it has at the start; "" is tiny:latest
	License    string // of that
	// Weights are that model's; the zero value is a fixed one.
	Weights []byte
}

// Server is a fake Ollama.
type Server struct {
	URL string

	o       Options
	half    []bool // by id: the token is not UTF-8 by itself
	mu      sync.Mutex
	faults  Faults
	blobs   map[string][]byte
	models  map[string]stored
	runners map[string]stored // by name
	bodies  []string
	running int
}

type stored struct {
	weights string // of the converted file, as hex
	license string
	system  string
	digest  string // of the manifest
	param   map[string]any
}

// New starts a fake. It ends with the test.
func New(t testing.TB, o Options) *Server {
	if o.Context == 0 {
		o.Context = 512
	}
	if o.Model == "" {
		o.Model = "tiny:latest"
	}
	s := &Server{o: o, blobs: map[string][]byte{}, models: map[string]stored{}, runners: map[string]stored{}}
	s.models[o.Model] = manifest(stored{weights: sum(o.Weights), license: o.License})
	for id := range int32(o.Vocab) {
		s.half = append(s.half, !utf8.ValidString(s.bytes(id)))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/version", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, map[string]string{"version": "0.17.4"}) })
	mux.HandleFunc("GET /api/tags", s.tags)
	mux.HandleFunc("GET /api/ps", s.ps)
	mux.HandleFunc("POST /api/show", s.show)
	mux.HandleFunc("POST /api/copy", s.copy)
	mux.HandleFunc("POST /api/create", s.create)
	mux.HandleFunc("HEAD /api/blobs/{digest}", s.blob)
	mux.HandleFunc("POST /api/blobs/{digest}", s.blob)
	mux.HandleFunc("POST /api/generate", s.generate)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	s.URL = srv.URL
	return s
}

// Set changes how the server misbehaves from now on.
func (s *Server) Set(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Bodies are those of the generations that were asked for since the last call.
func (s *Server) Bodies() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.bodies
	s.bodies = nil
	return out
}

// Models are the names of the models that it has.
func (s *Server) Models() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for name := range s.models {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Running is the number of generations under way.
func (s *Server) Running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// Blobs is the number of uploaded files.
func (s *Server) Blobs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.blobs)
}

// Recreate is what somebody else's creation of the model does.
func (s *Server) Recreate(name string, weights []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.models[name] = manifest(stored{weights: sum(weights)})
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func manifest(m stored) stored {
	m.digest = sum(fmt.Appendf(nil, "%s %q %q", m.weights, m.license, m.system))
	return m
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	reply(w, status, map[string]string{"error": fmt.Sprintf(format, args...)})
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(r.Body).Decode(into)
	if err != nil {
		refuse(w, http.StatusBadRequest, "%v", err)
	}
	return err == nil
}

func (s *Server) tags(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := api.ListResponse{Models: []api.ListModelResponse{}}
	for name, m := range s.models {
		list.Models = append(list.Models, api.ListModelResponse{Name: name, Model: name, Digest: m.digest})
	}
	slices.SortFunc(list.Models, func(a, b api.ListModelResponse) int { return strings.Compare(a.Name, b.Name) })
	reply(w, 200, list)
}

func (s *Server) ps(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := api.ProcessResponse{Models: []api.ProcessModelResponse{}}
	for name, m := range s.runners {
		list.Models = append(list.Models, api.ProcessModelResponse{Name: name, Model: name, Digest: m.digest})
	}
	reply(w, 200, list)
}

// find is a model by its name, with or without tag.
func (s *Server) find(w http.ResponseWriter, name string) (string, stored, bool) {
	if !strings.Contains(name, ":") {
		name += ":latest"
	}
	m, ok := s.models[name]
	if !ok {
		refuse(w, http.StatusNotFound, "model '%s' not found", name)
	}
	return name, m, ok
}

func (s *Server) show(w http.ResponseWriter, r *http.Request) {
	var req api.ShowRequest
	if !read(w, r, &req) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, m, ok := s.find(w, req.Model)
	if !ok {
		return
	}
	info := map[string]any{
		"general.architecture": "qwen2", "qwen2.context_length": s.o.Context,
		"tokenizer.ggml.bos_token_id": s.o.Begin, "tokenizer.ggml.tokens": nil,
	}
	if req.Verbose {
		info["tokenizer.ggml.tokens"] = make([]string, s.o.Vocab)
	}
	reply(w, 200, api.ShowResponse{
		License: m.license, System: m.system, Template: "{{ .Prompt }}",
		Modelfile: "# Modelfile generated by \"ollama show\"\nFROM /models/blobs/sha256-" + m.weights + "\nTEMPLATE {{ .Prompt }}\n",
		Details:   api.ModelDetails{Format: "gguf", Family: "qwen2", QuantizationLevel: "F16"}, ModelInfo: info,
	})
}

func (s *Server) copy(w http.ResponseWriter, r *http.Request) {
	var req api.CopyRequest
	if !read(w, r, &req) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, m, ok := s.find(w, req.Source); ok {
		s.models[req.Destination] = m
	}
}

func (s *Server) blob(w http.ResponseWriter, r *http.Request) {
	digest := r.PathValue("digest")
	s.mu.Lock()
	_, have := s.blobs[digest]
	s.mu.Unlock()
	switch {
	case have:
		w.WriteHeader(http.StatusOK)
		return
	case r.Method == http.MethodHead:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	b, err := io.ReadAll(r.Body)
	if err != nil || digest != "sha256:"+sum(b) {
		refuse(w, http.StatusBadRequest, "digest mismatch, expected %q, got %q", digest, "sha256:"+sum(b))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[digest] = b
	w.WriteHeader(http.StatusCreated)
}

func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	var req api.CreateRequest
	if !read(w, r, &req) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reply(w, 200, api.ProgressResponse{Status: "converting model"})
	if s.faults.FailCreates > 0 {
		s.faults.FailCreates--
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "no space left on device"})
		return
	}
	m := stored{system: req.System, param: req.Parameters}
	all := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(req.Files)) {
		b, have := s.blobs[req.Files[name]]
		if !have {
			_ = json.NewEncoder(w).Encode(map[string]string{"error": "no blob " + req.Files[name]})
			return
		}
		_, _ = all.Write(b) // a hash does not fail
	}
	m.weights = hex.EncodeToString(all.Sum(nil))
	if lines, ok := req.License.([]any); ok {
		var out []string
		for _, l := range lines {
			out = append(out, fmt.Sprint(l))
		}
		m.license = strings.Join(out, "\n")
	}
	s.models[req.Model] = manifest(m)
	_ = json.NewEncoder(w).Encode(api.ProgressResponse{Status: "success"})
}
