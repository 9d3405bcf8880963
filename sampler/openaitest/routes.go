package openaitest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// openRoutes are those that every vLLM has.
func (s *Server) openRoutes(mux *http.ServeMux) {
	handle := func(method, path string, h http.HandlerFunc) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			key := s.options().APIKey
			switch {
			case key != "" && strings.HasPrefix(path, "/v1/") && r.Header.Get("Authorization") != "Bearer "+key:
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = w.Write([]byte(`{"error":"Unauthorized"}`))
			case r.Method != method:
				writeDetail(w, http.StatusMethodNotAllowed)
			default:
				h(w, r)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { writeDetail(w, http.StatusNotFound) })
	handle(http.MethodGet, "/health", s.health)
	handle(http.MethodGet, "/version", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"version": s.options().Version})
	})
	handle(http.MethodGet, "/metrics", s.metrics)
	handle(http.MethodGet, "/v1/models", s.models)
	handle(http.MethodPost, "/v1/completions", s.completions)
	handle(http.MethodPost, "/v1/chat/completions", s.chat)
	handle(http.MethodPost, "/tokenize", s.tokenize)
	handle(http.MethodPost, "/detokenize", s.detokenize)
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	dead := s.dead
	s.mu.Unlock()
	if dead {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintf(w, "vllm:num_requests_running{engine=\"0\",model_name=%q} %d.0\n", s.options().Model, s.Running())
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	o := s.options()
	type model struct {
		ID          string  `json:"id"`
		Object      string  `json:"object"`
		Created     int64   `json:"created"`
		OwnedBy     string  `json:"owned_by"`
		Root        string  `json:"root"`
		Parent      *string `json:"parent"`
		MaxModelLen int     `json:"max_model_len"`
		Permission  []any   `json:"permission"`
	}
	permission := map[string]any{
		"id": "modelperm-0", "object": "model_permission", "created": 1795438695, "organization": "*", "group": nil,
		"allow_create_engine": false, "allow_sampling": true, "allow_logprobs": true, "allow_search_indices": false,
		"allow_view": true, "allow_fine_tuning": false, "is_blocking": false,
	}
	writeJSON(w, struct {
		Object string  `json:"object"`
		Data   []model `json:"data"`
	}{"list", []model{{o.Model, "model", 1795438695, "vllm", o.ModelDir, nil, o.MaxModelLen, []any{permission}}}})
}

// readJSON decodes a body, or answers in vLLM's words and returns false.
func readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	if bad := decode(body, v); bad != nil {
		bad.write(w)
		return false
	}
	return true
}

func (s *Server) tokenize(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Model  *string `json:"model"`
		Prompt string  `json:"prompt"`
	}
	if !readJSON(w, r, &req) {
		return
	}
	o := s.options()
	if bad := checkModel(o, req.Model); bad != nil {
		bad.write(w)
		return
	}
	ids := o.Encode(req.Prompt)
	writeJSON(w, struct {
		Count       int      `json:"count"`
		MaxModelLen int      `json:"max_model_len"`
		Tokens      []int32  `json:"tokens"`
		TokenStrs   []string `json:"token_strs"`
	}{len(ids), o.MaxModelLen, ids, nil})
}

func (s *Server) detokenize(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Tokens []int32 `json:"tokens"`
	}
	if readJSON(w, r, &req) {
		writeJSON(w, map[string]string{"prompt": s.options().Decode(req.Tokens)})
	}
}
