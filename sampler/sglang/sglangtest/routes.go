package sglangtest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/goccy/go-json"

	"github.com/justrl/justrl/sampler/localserver"
)

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	prefix := "/get_"
	if s.o.Renamed {
		prefix = "/"
	}
	mux.HandleFunc("GET "+prefix+"model_info", s.modelInfo)
	mux.HandleFunc("GET "+prefix+"server_info", s.serverInfo)
	mux.HandleFunc("GET /v1/models", s.models)
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /generate", s.generate)
	if !s.o.NoControl {
		mux.HandleFunc("POST /pause_generation", s.pause)
		mux.HandleFunc("POST /continue_generation", s.resume)
		mux.HandleFunc("POST /update_weights_from_disk", s.update)
		mux.HandleFunc("POST /flush_cache", s.flush)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var do func(http.Handler, http.ResponseWriter, *http.Request)
		s.mu.Change(func() {
			s.requests = append(s.requests, Request{Method: r.Method, Path: r.URL.Path, Body: body})
			for _, t := range s.takeovers {
				if t.path == r.URL.Path && t.times != 0 {
					t.times--
					do = t.do
					break
				}
			}
		})
		if do != nil {
			do(mux, w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) modelInfo(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply(w, http.StatusOK, map[string]any{
		"model_path": s.root, "tokenizer_path": s.root, "is_generation": true,
		"preferred_sampling_params": nil, "weight_version": s.tag,
	})
}

func (s *Server) serverInfo(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply(w, http.StatusOK, map[string]any{
		"model_path": s.root, "served_model_name": s.o.Policy.Model, "weight_version": s.tag,
		"enable_deterministic_inference": !s.o.Unseeded, "max_total_num_tokens": 1 << 20,
		"internal_states": []any{map[string]any{}}, "version": "0.5.10",
	})
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{"object": "list", "data": []any{map[string]any{
		"id": s.o.Policy.Model, "object": "model", "created": 1, "owned_by": "sglang",
		"root": s.o.Policy.Model, "parent": nil, "max_model_len": s.engine.Model().MaxLen,
	}}})
}

// pause is mode abort, whatever is asked for: all that runs ends with finish_reason abort.
func (s *Server) pause(w http.ResponseWriter, _ *http.Request) {
	s.mu.Change(func() {
		s.paused = true
		for _, cancel := range s.running {
			cancel(localserver.ErrAborted)
		}
	})
	reply(w, http.StatusOK, map[string]string{"message": "Generation paused successfully.", "status": "ok"})
}

func (s *Server) resume(w http.ResponseWriter, _ *http.Request) {
	s.mu.Change(func() { s.paused = false })
	reply(w, http.StatusOK, map[string]string{"message": "Generation continued successfully.", "status": "ok"})
}

func (s *Server) update(w http.ResponseWriter, r *http.Request) {
	var req struct {
		ModelPath     string  `json:"model_path"`
		WeightVersion *string `json:"weight_version"`
		FlushCache    bool    `json:"flush_cache"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	answer := map[string]any{"success": true, "message": "Succeeded to update model weights.", "num_paused_requests": 0}
	if err := s.engine.Load(r.Context(), req.ModelPath); err != nil {
		answer["success"], answer["message"] = false, fmt.Sprintf("Failed to update weights: %v.\nRolling back to original weights.", err)
		reply(w, http.StatusBadRequest, answer)
		return
	}
	if req.FlushCache {
		s.engine.ResetCache()
	}
	s.mu.Change(func() {
		s.root = req.ModelPath
		if req.WeightVersion != nil {
			s.tag = *req.WeightVersion
		}
	})
	reply(w, http.StatusOK, answer)
}

func (s *Server) flush(w http.ResponseWriter, _ *http.Request) {
	s.engine.ResetCache()
	_, _ = io.WriteString(w, "Cache flushed.\nPlease check backend logs for more details. (When there are running or waiting requests, the operation will not be performed.)\n")
}
