package bridgetest

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// block is the tokens of a block of the fake's prefix cache.
const block = 16

// Faults are the ways in which a Server misbehaves. The zero value is a right server.
type Faults struct {
	KeepWeights  bool          // acknowledges reloads and keeps the old weights
	KeepCache    bool          // acknowledges that the prefix cache was emptied and keeps it
	Reverse      bool          // moves away from where the new weights are
	FailReloads  int           // so many reloads answer 500 and leave the model broken
	NoDevMode    bool          // has no development routes: 404
	Old          bool          // has neither weight versions nor checksums, as before 0.30: 404
	Blind        bool          // gives every tensor the checksum of nothing
	Noise        float64       // adds so much noise to every log-prob, another each time
	Bias         float64       // adds this to every log-prob
	FailResumes  int           // so many resumes answer 500
	CacheBusy    bool          // says that the prefix cache could not be emptied
	HangReloadAt chan struct{} // when set, a reload says here that it has begun, and never answers; the model is broken
	CutReloads   int           // so many reloads lose their connection and leave the model broken
	NoDocs       bool          // has no /openapi.json: 404
	CutTransfers int           // so many transfers lose the trainer's connection half-way and leave the model broken
	OpenTransfer bool          // shows a transfer as begun that a lost trainer never finished; once
}

// Server is a fake vLLM with the few routes that the bridge uses.
type Server struct {
	URL string

	mu       sync.Mutex
	faults   Faults
	model    Model
	broken   bool
	killed   bool // a broken model was sampled from
	paused   bool
	tag      string
	cache    map[string]Model
	requests []string
	onReload func()
	rng      *rand.Rand
	build    Build
	rude     int // pauses that would have aborted other people's requests
	transfer transfer
}

// NewServer starts a fake of the newest vLLM that serves m. It ends with the
// test, which fails if a broken model was ever sampled from: that kills a real server.
func NewServer(t testing.TB, m Model) *Server { return NewBuild(t, m, Newest) }

// NewBuild is NewServer for another vLLM.
func NewBuild(t testing.TB, m Model, b Build) *Server {
	s := &Server{model: m, tag: "default", cache: map[string]Model{}, rng: rand.New(rand.NewPCG(1, 2)), build: b}
	mux := http.NewServeMux()
	dev := func(route string, h http.HandlerFunc) {
		mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
			if s.Faults().NoDevMode {
				http.Error(w, `{"detail":"Not Found"}`, http.StatusNotFound)
				return
			}
			h(w, r)
		})
	}
	since := func(minor int, route string, h http.HandlerFunc) {
		dev(route, func(w http.ResponseWriter, r *http.Request) {
			if b.minor() < minor || minor >= 30 && s.Faults().Old {
				http.Error(w, `{"detail":"Not Found"}`, http.StatusNotFound)
				return
			}
			h(w, r)
		})
	}
	dev("POST /pause", s.locked(s.pause))
	dev("POST /resume", s.locked(s.resume))
	dev("GET /is_paused", s.locked(func(*http.Request) (any, string) { return map[string]bool{"is_paused": s.paused}, "" }))
	dev("POST /collective_rpc", s.loading(s.reloadNow))
	dev("POST /reset_prefix_cache", s.locked(s.resetCache))
	since(30, "POST /update_weight_version", s.locked(s.setTag))
	since(30, "GET /weight_info", s.locked(func(*http.Request) (any, string) { return map[string]string{"weight_version": s.tag}, "" }))
	since(32, "POST /weight_checker", s.locked(s.checksums))
	since(18, "POST /init_weight_transfer_engine", s.initTransfer)
	since(22, "POST /start_weight_update", s.startTransfer)
	since(18, "POST /update_weights", s.loading(s.updateNow))
	since(22, "POST /finish_weight_update", s.locked(s.finishTransfer))
	since(30, "GET /get_world_size", s.locked(func(*http.Request) (any, string) { return map[string]int{"world_size": max(b.Workers, 1)}, "" }))
	mux.HandleFunc("GET /version", s.locked(func(*http.Request) (any, string) { return map[string]string{"version": b.Version}, "" }))
	mux.HandleFunc("GET /openapi.json", s.openAPI)
	mux.HandleFunc("GET /v1/models", s.locked(s.models))
	mux.HandleFunc("POST /v1/completions", s.locked(s.complete))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
		s.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		srv.Close()
		s.transfer.close()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.killed {
			t.Error("a broken model was sampled from: that kills a real server")
		}
	})
	s.URL = srv.URL
	return s
}

// Set changes how the server misbehaves from now on.
func (s *Server) Set(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Faults is what Set was given last.
func (s *Server) Faults() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults
}

// OnReload has do called once, at the end of the next reload.
func (s *Server) OnReload(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onReload = do
}

// Restart is what happens when a supervisor restarts the server: the weights it was started with are back.
func (s *Server) Restart(m Model) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.model, s.tag, s.paused, s.broken = m, "default", false, false
	s.transfer.close()
	s.transfer = transfer{}
	clear(s.cache)
}

// Model is what the server serves.
func (s *Server) Model() Model {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.model
}

// Paused tells whether requests would wait.
func (s *Server) Paused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused
}

// Requests are the methods and targets of all requests since the last call.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.requests)
	s.requests = nil
	return out
}

// locked answers with what h returns, or 500 with the reason that it returns.
func (s *Server) locked(h func(*http.Request) (reply any, failure string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		reply, failure := h(r)
		s.mu.Unlock()
		if failure != "" {
			refuse(w, failure)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(reply) // the client may be gone
	}
}

// refuse answers 500 with a message, as vLLM does with whatever a worker raises,
// and closes the connection without having said so, as uvicorn then does.
func refuse(w http.ResponseWriter, message string) {
	body, err := json.Marshal(map[string]any{"error": map[string]any{"message": message, "type": "InternalServerError", "code": 500}})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = w.Write(body)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func (s *Server) pause(r *http.Request) (any, string) {
	s.paused = true
	if !s.build.waits(r.URL.Query()) {
		s.rude++
	}
	if !s.faults.KeepCache {
		clear(s.cache)
	}
	return map[string]string{"status": "paused"}, ""
}

func (s *Server) resume(*http.Request) (any, string) {
	if s.faults.FailResumes > 0 {
		s.faults.FailResumes--
		return nil, "cannot resume"
	}
	s.paused = false
	return map[string]string{"status": "resumed"}, ""
}

// loading is a call that changes the weights, and what may go wrong with it.
func (s *Server) loading(now func(*http.Request) (any, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.load(w, r, now) }
}

func (s *Server) load(w http.ResponseWriter, r *http.Request, now func(*http.Request) (any, string)) {
	if begun := s.Faults().HangReloadAt; begun != nil {
		_, _ = io.Copy(io.Discard, r.Body) // until then the server does not see the client leave
		s.breakModel()
		select {
		case begun <- struct{}{}:
			<-r.Context().Done()
		case <-r.Context().Done():
		}
		return
	}
	if s.cutReload() {
		panic(http.ErrAbortHandler)
	}
	s.locked(now)(w, r)
	s.mu.Lock()
	do := s.onReload
	s.onReload = nil
	s.mu.Unlock()
	if do != nil {
		do()
	}
}

func (s *Server) breakModel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = true
}

func (s *Server) cutReload() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults.CutReloads == 0 {
		return false
	}
	s.faults.CutReloads--
	s.broken = true
	return true
}

func (s *Server) reloadNow(r *http.Request) (any, string) {
	var req struct {
		Method string
		Kwargs struct {
			WeightsPath string `json:"weights_path"`
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.Method != "reload_weights" {
		return nil, fmt.Sprintf("bad call %+v: %v", req, err)
	}
	dir := req.Kwargs.WeightsPath
	if dir != "" && s.build.minor() < 18 {
		return nil, "Worker.reload_weights() got an unexpected keyword argument 'weights_path'"
	}
	if s.failed() {
		return nil, "Error while deserializing header"
	}
	if dir == "" {
		dir = s.build.Root
	}
	m, err := Load(dir)
	if err != nil {
		s.broken = true
		return nil, err.Error()
	}
	s.take(m)
	return map[string]any{"results": []any{nil}}, ""
}

// failed tells whether this load is one that must fail; it breaks the model.
func (s *Server) failed() bool {
	if s.faults.FailReloads == 0 {
		return false
	}
	s.faults.FailReloads--
	s.broken = true
	return true
}

// take is the end of a load of all of m's weights.
func (s *Server) take(m Model) {
	s.broken = false
	switch {
	case s.faults.KeepWeights:
	case s.faults.Reverse:
		for k := range m.Theta {
			s.model.Theta[k] -= m.Theta[k] - s.model.Theta[k]
		}
	default:
		s.model = m
	}
}

func (s *Server) resetCache(*http.Request) (any, string) {
	if !s.faults.KeepCache && !s.faults.CacheBusy {
		clear(s.cache)
	}
	return map[string]bool{"success": !s.faults.CacheBusy}, ""
}

func (s *Server) setTag(r *http.Request) (any, string) {
	var req struct {
		NewVersion string `json:"new_version"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return nil, err.Error()
	}
	s.tag = req.NewVersion
	return map[string]any{"success": true, "new_version": s.tag}, ""
}

func (s *Server) checksums(*http.Request) (any, string) {
	const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	sums := map[string]string{"embed": s.model.sum(), "packed": nothing}
	if s.faults.Blind {
		sums["embed"] = nothing
	}
	return map[string]any{"checksums": sums}, ""
}

func (s *Server) complete(r *http.Request) (any, string) {
	var req struct {
		Prompt         []int32 `json:"prompt"`
		PromptLogprobs *int    `json:"prompt_logprobs"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return nil, err.Error()
	}
	switch {
	case s.paused:
		return nil, "the fake is paused: a real server would not answer"
	case s.broken:
		s.killed = true
		return nil, "EngineCore encountered an issue: the model is broken"
	}
	if req.PromptLogprobs != nil {
		all := []any{nil}
		for t, lp := range s.model.Logprobs(req.Prompt) {
			all = append(all, map[string]any{strconv.Itoa(int(req.Prompt[t+1])): map[string]any{"logprob": s.spoil(lp)}})
		}
		return map[string]any{"choices": []any{map[string]any{"prompt_logprobs": all, "token_ids": []int{0}}}}, ""
	}
	m := s.model
	if blocks := len(req.Prompt) / block; blocks > 0 {
		key := fmt.Sprint(req.Prompt[:blocks*block])
		if cached, hit := s.cache[key]; hit {
			m = cached
		}
		s.cache[key] = m
	}
	token, lp := m.Next(req.Prompt)
	return map[string]any{"choices": []any{map[string]any{
		"token_ids": []int32{token}, "logprobs": map[string]any{"token_logprobs": []float32{s.spoil(lp)}},
	}}}, ""
}

func (s *Server) spoil(lp float32) float32 {
	return lp + float32(s.faults.Bias+s.faults.Noise*s.rng.NormFloat64())
}
