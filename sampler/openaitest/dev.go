package openaitest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// devRoutes are those that vLLM has in dev mode only.
func (s *Server) devRoutes(mux *http.ServeMux) {
	handle := func(method, path string, h http.HandlerFunc) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case s.options().NoDevMode:
				writeDetail(w, http.StatusNotFound)
			case r.Method != method:
				writeDetail(w, http.StatusMethodNotAllowed)
			default:
				h(w, r)
			}
		})
	}
	handle(http.MethodPost, "/pause", s.pause)
	handle(http.MethodPost, "/resume", func(w http.ResponseWriter, _ *http.Request) {
		s.gate.resume()
		writeJSON(w, map[string]string{"status": "resumed"})
	})
	handle(http.MethodGet, "/is_paused", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]bool{"is_paused": s.gate.isPaused()})
	})
	handle(http.MethodPost, "/abort_requests", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, struct {
			Status  string `json:"status"`
			Aborted int    `json:"aborted"`
		}{"aborted", s.gate.abort()})
	})
	handle(http.MethodPost, "/reset_prefix_cache", func(w http.ResponseWriter, _ *http.Request) {
		ok := s.gate.running() == 0
		if ok {
			s.clearCache()
		}
		writeJSON(w, map[string]bool{"success": ok})
	})
	handle(http.MethodPost, "/collective_rpc", s.collectiveRPC)
	handle(http.MethodGet, "/weight_info", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		writeJSON(w, map[string]string{"weight_version": s.version})
	})
	handle(http.MethodPost, "/update_weight_version", s.updateWeightVersion)
}

func (s *Server) pause(w http.ResponseWriter, r *http.Request) {
	mode := r.URL.Query().Get("mode")
	if mode == "" {
		mode = "abort"
	}
	if !slices.Contains([]string{"abort", "wait", "keep"}, mode) {
		writeError(w, http.StatusBadRequest, "Bad Request", "query.mode", "1 validation error:\n  {'type': 'literal_error', 'loc': 'query.mode', 'msg': \"Input should be 'abort', 'wait' or 'keep'\", 'input': '"+mode+"', 'ctx': {'expected': \"'abort', 'wait' or 'keep'\"}}")
		return
	}
	if s.gate.pause(r.Context(), mode) != nil {
		return // the client went away
	}
	if r.URL.Query().Get("clear_cache") != "false" {
		s.clearCache()
	}
	writeJSON(w, map[string]string{"status": "paused"})
}

func (s *Server) clearCache() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.o.KeepOldCache {
		clear(s.prefix)
	}
}

// policyFor is the policy that a request sees: of the weights now, unless its
// prompt's prefix was cached under older ones. A request for prompt log-probs
// does not read the cache.
func (s *Server) policyFor(o Options, req completionRequest, prompt []int32) *Policy {
	s.mu.Lock()
	defer s.mu.Unlock()
	blocks := len(prompt) / o.Block
	if blocks == 0 {
		return s.policy(s.weights)
	}
	key := prefixKey(orDefault(req.CacheSalt, ""), prompt[:blocks*o.Block])
	cached, hit := s.prefix[key]
	if req.PromptLogprobs != nil || !hit {
		if !hit {
			s.prefix[key] = s.weights
		}
		return s.policy(s.weights)
	}
	if cached == s.weights {
		return s.policy(s.weights)
	}
	return s.policy(mixWeights(cached, s.weights))
}

func prefixKey(salt string, ids []int32) string {
	var b strings.Builder
	b.WriteString(salt)
	b.WriteByte(0)
	for _, id := range ids {
		for shift := 0; shift < 32; shift += 8 {
			b.WriteByte(byte(id >> shift))
		}
	}
	return b.String()
}

func (s *Server) collectiveRPC(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Method string `json:"method"`
		Kwargs struct {
			WeightsPath string `json:"weights_path"`
		} `json:"kwargs"`
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if at := syntaxError(body); at >= 0 {
		writeError(w, http.StatusBadRequest, "Bad Request", "", fmt.Sprintf("JSON decode error: %s: line 1 column %d (char %d)", pythonSyntaxError(body, at), at+1, at))
		return
	}
	if bad := decode(body, &req); bad != nil {
		bad.write(w)
		return
	}
	failed := func(why string) {
		writeError(w, http.StatusInternalServerError, "InternalServerError", "",
			"Call to collective_rpc method failed: Worker failed with error '"+why+"', please check the stack trace above for the root cause")
	}
	switch req.Method {
	case "":
		writeError(w, http.StatusBadRequest, "Bad Request", "", "Missing 'method' in request body")
	case "reload_weights":
		if why := s.reload(req.Kwargs.WeightsPath); why != "" {
			failed(why)
			return
		}
		writeJSON(w, map[string][]any{"results": {nil}})
	default:
		failed("'CPUWorker' object has no attribute '" + req.Method + "'")
	}
}

// reload reads weights; a non-empty result says why it could not. The path
// becomes the default of later calls.
func (s *Server) reload(dir string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if dir == "" {
		dir = s.o.ModelDir
	}
	sum, err := HashWeights(dir)
	switch {
	case err != nil && strings.HasSuffix(err.Error(), "no *.safetensors file"):
		if strings.Count(dir, "/") > 1 { // it is taken for a name on the Hub
			return "Repo id must be in the form 'repo_name' or 'namespace/repo_name': '" + dir + "'. Use `repo_type` argument if needed."
		}
		return "Repo id must use alphanumeric chars, '-', '_' or '.'. The name cannot start or end with '-' or '.' and the maximum length is 96: '" + dir + "'."
	case err != nil:
		s.broken = true // until a good reload; a generation before that kills the engine
		return "Error while deserializing header: " + err.Error()
	}
	s.broken, s.o.ModelDir = false, dir
	if !s.o.KeepOldWeights {
		s.weights, s.served = sum, dir
	}
	return ""
}

func (s *Server) updateWeightVersion(w http.ResponseWriter, r *http.Request) {
	var req struct {
		NewVersion *string `json:"new_version"`
	}
	if !readJSON(w, r, &req) {
		return
	}
	if req.NewVersion == nil {
		writeError(w, http.StatusBadRequest, "Bad Request", "body.new_version", "1 validation error:\n  {'type': 'missing', 'loc': 'body.new_version', 'msg': 'Field required', 'input': 'None'}")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = *req.NewVersion
	writeJSON(w, struct {
		Success    bool   `json:"success"`
		NewVersion string `json:"new_version"`
	}{true, s.version})
}
