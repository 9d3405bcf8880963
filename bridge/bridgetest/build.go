package bridgetest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Build is which vLLM a Server is, and how it was started.
type Build struct {
	Version string // 0.MINOR.…
	// Root is the folder that it was started with.
	Root string
	// Engine is the class at its end of a weight transfer, such as
	// TCPWeightTransferEngine; "" has none.
	Engine string
	// Workers take part in a transfer; 0 is one.
	Workers int
	// Receive, for the class NCCLWeightTransferEngine, is a worker's end of the
	// group that init_info names: Join blocks until all are there, and every call
	// of the function that it returns is one broadcast.
	Receive func(info map[string]any) (next func() ([]byte, error), err error)
}

// Newest is the vLLM that scripts/vllm-env installs.
var Newest = Build{Version: "0.32.0"}

func (b Build) minor() int {
	minor, err := strconv.Atoi(strings.Split(b.Version, ".")[1])
	if err != nil {
		panic("bridgetest: no version of vLLM: " + b.Version)
	}
	return minor
}

// pauseParameters are those of /pause.
func (b Build) pauseParameters() []string {
	switch m := b.minor(); {
	case m < 18:
		return []string{"wait_for_inflight_requests", "clear_cache"}
	case m < 26:
		return []string{"mode", "wait_for_inflight_requests", "clear_cache"}
	case m < 32: // none is known of these: what they do not name they do not read
		return nil
	}
	return []string{"mode", "clear_cache"}
}

// waits tells whether a pause lets requests that run come to their end. A build
// that cannot be told to does what it does.
func (b Build) waits(q url.Values) bool {
	parameters := b.pauseParameters()
	if parameters == nil {
		return true
	}
	for _, name := range parameters {
		if name == "mode" && q.Get(name) == "wait" || name == "wait_for_inflight_requests" && q.Get(name) == "true" {
			return true
		}
	}
	return false
}

// openAPI lists the routes that decide over how a server is loaded.
func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) {
	f := s.Faults()
	if f.NoDocs {
		http.Error(w, `{"detail":"Not Found"}`, http.StatusNotFound)
		return
	}
	paths := map[string]any{}
	add := func(since int, path string, query ...string) {
		if s.build.minor() < since || f.NoDevMode {
			return
		}
		var parameters []any
		for _, name := range query {
			parameters = append(parameters, map[string]any{"name": name, "in": "query", "required": false})
		}
		paths[path] = map[string]any{"post": map[string]any{"parameters": parameters}}
	}
	add(0, "/pause", s.build.pauseParameters()...)
	add(0, "/collective_rpc")
	add(18, "/init_weight_transfer_engine")
	add(18, "/update_weights")
	add(22, "/start_weight_update")
	add(22, "/finish_weight_update")
	if !f.Old {
		add(30, "/weight_info")
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"openapi": "3.1.0", "paths": paths}) // the client may be gone
}

func (s *Server) models(*http.Request) (any, string) {
	return map[string]any{"object": "list", "data": []any{map[string]any{"id": "tiny", "root": s.build.Root}}}, ""
}

// RudePauses counts the pauses that would have aborted other people's requests.
func (s *Server) RudePauses() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rude
}
