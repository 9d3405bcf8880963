package sglang

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/justrl/justrl/bridge/bridgetest"
)

// block is the tokens of a block of the fake's prefix cache.
const block = 16

// faults are the ways in which a fake misbehaves.
type faults struct {
	noPause     bool     // has no /pause_generation and /continue_generation, as before 0.5.2
	noUpdate    bool     // has no /update_weights_from_disk: a gateway
	untagged    bool     // shows no weight_version
	renamed     bool     // has /model_info in the place of /get_model_info
	keepWeights bool     // acknowledges loads and keeps the old weights
	keepCache   bool     // acknowledges that the cache was emptied and keeps it
	cacheBusy   bool     // does not empty the cache, and says so
	fail        []string // what the next loads fail with: "500" in the middle, a message for a refusal with 400, "cut", "lie"
	failResumes int
	hangAt      chan struct{} // a load says here that it has begun, and never answers
}

// fake is an SGLang with the routes that the bridge uses, in the shapes of
// python/sglang/srt/entrypoints/http_server.py at commit 0025436eab05 of
// github.com/sgl-project/sglang. A load that fails leaves its model broken,
// which must not be sampled from.
type fake struct {
	URL string

	mu       sync.Mutex
	f        faults
	model    bridgetest.Model
	broken   bool
	sampled  bool // from a broken model
	paused   bool
	tag      string
	cache    map[string]bridgetest.Model
	requests []string
}

func newFake(t *testing.T, m bridgetest.Model) *fake {
	f := &fake{model: m, tag: "default", cache: map[string]bridgetest.Model{}}
	srv := httptest.NewServer(http.HandlerFunc(f.serve))
	f.URL = srv.URL
	t.Cleanup(func() {
		srv.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.sampled {
			t.Error("a broken model was sampled from")
		}
	})
	return f
}

func (f *fake) set(x faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.f = x
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	hang, x := f.f.hangAt, f.f
	if hang != nil && r.URL.Path == "/update_weights_from_disk" {
		f.broken = true
		f.mu.Unlock()
		select {
		case hang <- struct{}{}:
			<-r.Context().Done()
		case <-r.Context().Done():
		}
		return
	}
	status, reply := f.answer(r, body, x)
	f.mu.Unlock()
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(reply) // the client may be gone
}

type object = map[string]any

func (f *fake) answer(r *http.Request, body []byte, x faults) (int, any) {
	info := "/get_model_info"
	if x.renamed {
		info = "/model_info"
	}
	switch route := r.Method + " " + r.URL.Path; {
	case route == "GET "+info && x.untagged:
		return 200, object{"model_path": "tiny"}
	case route == "GET "+info:
		return 200, object{"model_path": "tiny", "weight_version": f.tag}
	case route == "POST /pause_generation" && !x.noPause:
		f.paused = true
		return 200, object{"message": "Generation paused successfully.", "status": "ok"}
	case route == "POST /continue_generation" && !x.noPause:
		if f.f.failResumes > 0 {
			f.f.failResumes--
			return 500, object{"error": object{"message": "cannot continue"}}
		}
		f.paused = false
		return 200, object{"message": "Generation continued successfully.", "status": "ok"}
	case route == "POST /update_weights_from_disk" && !x.noUpdate:
		return f.update(body)
	case route == "POST /flush_cache" && x.cacheBusy:
		return 400, "Cache flushed.\nPlease check backend logs for more details."
	case route == "POST /flush_cache":
		if !x.keepCache {
			clear(f.cache)
		}
		return 200, "Cache flushed."
	case route == "POST /generate":
		return f.generate(body)
	}
	return 404, object{"detail": "Not Found"}
}

func (f *fake) update(body []byte) (int, any) {
	var req struct {
		ModelPath     string `json:"model_path"`
		WeightVersion string `json:"weight_version"`
		FlushCache    bool   `json:"flush_cache"`
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return 400, object{"error": object{"message": err.Error()}}
	}
	if len(f.f.fail) > 0 {
		how := f.f.fail[0]
		f.f.fail = f.f.fail[1:]
		f.broken = true
		switch how {
		case "500":
			return 500, "Internal Server Error"
		case "cut":
			return 0, nil
		case "lie":
			return 200, object{"success": false, "message": "no"}
		}
		return 400, object{"success": false, "message": how, "num_paused_requests": 0}
	}
	m, err := bridgetest.Load(req.ModelPath)
	if err != nil {
		f.broken = true
		return 400, object{"success": false, "message": fmt.Sprintf("Failed to get weights iter: %v.", err), "num_paused_requests": 0}
	}
	f.broken, f.tag = false, req.WeightVersion
	if !f.f.keepWeights {
		f.model = m
	}
	if req.FlushCache && !f.f.keepCache {
		clear(f.cache)
	}
	return 200, object{"success": true, "message": "Succeeded to update model weights.", "num_paused_requests": 0}
}

func (f *fake) generate(body []byte) (int, any) {
	var req struct {
		InputIDs [][]int32 `json:"input_ids"`
		Start    int       `json:"logprob_start_len"`
	}
	if err := json.Unmarshal(body, &req); err != nil || len(req.InputIDs) != 1 {
		return 400, object{"error": object{"message": fmt.Sprint(err)}}
	}
	prompt := req.InputIDs[0]
	switch {
	case f.paused:
		return 400, object{"error": object{"message": "the fake is paused: a real server would not answer"}}
	case f.broken:
		f.sampled = true
		return 500, "Internal Server Error"
	}
	meta := object{"weight_version": f.tag, "prompt_tokens": len(prompt)}
	if req.Start >= 0 {
		given := []any{[]any{nil, prompt[0], nil}}
		for t, lp := range f.model.Logprobs(prompt) {
			given = append(given, []any{lp, prompt[t+1], nil})
		}
		meta["input_token_logprobs"] = given
		return 200, []any{object{"output_ids": []int32{}, "meta_info": meta}}
	}
	m := f.model
	if blocks := len(prompt) / block; blocks > 0 {
		key := fmt.Sprint(prompt[:blocks*block])
		if cached, hit := f.cache[key]; hit {
			m = cached
		}
		f.cache[key] = m
	}
	token, lp := m.Next(prompt)
	meta["output_token_logprobs"] = []any{[]any{lp, token, nil}}
	return 200, []any{object{"output_ids": []int32{token}, "meta_info": meta}}
}

// asked are the requests since the last call.
func (f *fake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := slices.Clone(f.requests)
	f.requests = nil
	return out
}

func (f *fake) state() (theta [8]float64, paused bool, tag string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.model.Theta, f.paused, f.tag
}
