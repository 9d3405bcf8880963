package localserver

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func (s *Server) routes() {
	handle := func(method, path string, h http.HandlerFunc) {
		s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != method {
				w.Header().Set("Allow", method)
				detail(w, http.StatusMethodNotAllowed)
				return
			}
			h(w, r)
		})
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { detail(w, http.StatusNotFound) })
	handle(http.MethodGet, "/health", s.health)
	s.mux.HandleFunc("/ping", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodPost {
			detail(w, http.StatusMethodNotAllowed)
			return
		}
		s.health(w, r)
	})
	handle(http.MethodGet, "/version", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"version": s.o.Version})
	})
	handle(http.MethodGet, "/load", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]int64{"server_load": s.load.Load() - 1})
	})
	handle(http.MethodGet, "/metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP)
	handle(http.MethodGet, "/v1/models", s.models)
	handle(http.MethodPost, "/v1/completions", generating(s, s.parseCompletion))
	handle(http.MethodPost, "/v1/chat/completions", generating(s, s.parseChat))
	handle(http.MethodPost, "/tokenize", s.tokenize)
	handle(http.MethodPost, "/detokenize", s.detokenize)
	handle(http.MethodPost, "/inference/v1/generate", generating(s, s.parseGenerate))
	if s.o.DevMode {
		s.devRoutes(handle)
	}
}

// detail answers as the web framework under vLLM does.
func detail(w http.ResponseWriter, status int) {
	(&refusal{status: status, message: http.StatusText(status), detail: true}).write(w)
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if s.dead.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// requestID is what names a request: the client's header, its field, or random digits.
func requestID(header string, f *form) string {
	own := f.text("request_id", false)
	switch {
	case header != "":
		return header
	case own != nil:
		return *own
	}
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

type modelCard struct {
	ID          string            `json:"id"`
	Object      string            `json:"object"`
	Created     int64             `json:"created"`
	OwnedBy     string            `json:"owned_by"`
	Root        string            `json:"root"`
	Parent      *string           `json:"parent"`
	MaxModelLen int               `json:"max_model_len"`
	Permission  []modelPermission `json:"permission"`
}

type modelPermission struct {
	ID                 string  `json:"id"`
	Object             string  `json:"object"`
	Created            int64   `json:"created"`
	AllowCreateEngine  bool    `json:"allow_create_engine"`
	AllowSampling      bool    `json:"allow_sampling"`
	AllowLogprobs      bool    `json:"allow_logprobs"`
	AllowSearchIndices bool    `json:"allow_search_indices"`
	AllowView          bool    `json:"allow_view"`
	AllowFineTuning    bool    `json:"allow_fine_tuning"`
	Organization       string  `json:"organization"`
	Group              *string `json:"group"`
	IsBlocking         bool    `json:"is_blocking"`
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	cards := []modelCard{}
	for i, name := range s.o.Models {
		cards = append(cards, modelCard{
			ID: name, Object: "model", Created: s.created, OwnedBy: "vllm", Root: s.o.Root, MaxModelLen: s.model.MaxLen,
			Permission: []modelPermission{{
				ID: fmt.Sprintf("modelperm-%d", i), Object: "model_permission", Created: s.created,
				AllowSampling: true, AllowLogprobs: true, AllowView: true, Organization: "*",
			}},
		})
	}
	writeJSON(w, struct {
		Object string      `json:"object"`
		Data   []modelCard `json:"data"`
	}{"list", cards})
}
