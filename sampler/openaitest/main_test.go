package openaitest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/justrl/justrl/sampler/openaitest"
)

func TestMain(m *testing.M) {
	http.DefaultClient.Transport = &http.Transport{DisableKeepAlives: true} // an idle connection would count as a leak
	goleak.VerifyTestMain(m)
}

// completion is a /v1/completions reply as far as these tests read it.
type completion struct {
	Choices []struct {
		Index        int     `json:"index"`
		Text         string  `json:"text"`
		FinishReason string  `json:"finish_reason"`
		TokenIDs     []int32 `json:"token_ids"`
		Logprobs     *struct {
			TokenLogprobs []float32 `json:"token_logprobs"`
		} `json:"logprobs"`
		PromptLogprobs []map[string]struct {
			Logprob float32 `json:"logprob"`
			Rank    int     `json:"rank"`
		} `json:"prompt_logprobs"`
	} `json:"choices"`
}

// ask is a request for a completion; zero fields are left out.
type ask struct {
	Prompt         []int32 `json:"prompt"`
	N              int     `json:"n,omitempty"`
	MaxTokens      int     `json:"max_tokens,omitempty"`
	Temperature    float64 `json:"temperature"`
	TopK           int     `json:"top_k,omitempty"`
	TopP           float64 `json:"top_p,omitempty"`
	MinP           float64 `json:"min_p,omitempty"`
	Seed           int64   `json:"seed"`
	IgnoreEOS      bool    `json:"ignore_eos,omitempty"`
	CacheSalt      string  `json:"cache_salt,omitempty"`
	PromptLogprobs *int    `json:"prompt_logprobs,omitempty"`
	Logprobs       int     `json:"logprobs"`
	ReturnTokenIDs bool    `json:"return_token_ids"`
}

var prompt = []int32{1, 20, 21, 22}

// complete asks and wants a 200.
func complete(t *testing.T, s *openaitest.Server, a ask) completion {
	t.Helper()
	a.ReturnTokenIDs = true
	var out completion
	if status, body := post(t, s.URL+"/v1/completions", a); status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	} else if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// post sends v, nil as no body, and gives the answer's status and body.
func post(t *testing.T, url string, v any) (int, []byte) {
	t.Helper()
	body := []byte{}
	if v != nil {
		var err error
		if body, err = json.Marshal(v); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out bytes.Buffer
	if _, err := out.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, out.Bytes()
}

// reload loads the weights of a folder and gives the status.
func reload(t *testing.T, s *openaitest.Server, dir string) int {
	t.Helper()
	status, _ := post(t, s.URL+"/collective_rpc", map[string]any{"method": "reload_weights", "kwargs": map[string]string{"weights_path": dir}})
	return status
}
