//go:build torch

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// event is a chunk of a streamed answer.
type event struct {
	Choices []struct {
		TokenIDs     []int32 `json:"token_ids"`
		FinishReason *string `json:"finish_reason"`
	} `json:"choices"`
}

// streamed sends a request for one long sample, calls between after the first
// chunk, and returns the token ids and how it ended.
func streamed(t *testing.T, c *http.Client, url string, between func()) (ids []int32, finish string) {
	t.Helper()
	body := `{"prompt":[7,8,9],"max_tokens":1500,"temperature":1,"seed":3,"ignore_eos":true,"return_token_ids":true,"stream":true}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var e event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		for _, choice := range e.Choices {
			ids = append(ids, choice.TokenIDs...)
			if choice.FinishReason != nil {
				finish = *choice.FinishReason
			}
		}
		if between != nil {
			between()
			between = nil
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return ids, finish
}

// TestEmbeddedPauses: vLLM's three ways to pause, in the middle of a request.
func TestEmbeddedPauses(t *testing.T) {
	url := embeddedServer(t, "--model", policy, "--kv-cache-mib", "64", "--max-model-len", "2048")
	c := client(t)
	call := func(path, body string) {
		if status, reply, err := post(t.Context(), c, url+path, body); err != nil || status != http.StatusOK {
			t.Errorf("%s: %d %s %v", path, status, reply, err)
		}
	}
	whole, finish := streamed(t, c, url, nil)
	if len(whole) != 1500 || finish != "length" {
		t.Fatalf("%d tokens (%s)", len(whole), finish)
	}
	if ids, finish := streamed(t, c, url, func() { call("/pause?mode=keep", ""); call("/resume", "") }); fmt.Sprint(ids) != fmt.Sprint(whole) || finish != "length" {
		t.Errorf("kept: %d tokens (%s), not those of the request that was left alone", len(ids), finish)
	}
	ids, finish := streamed(t, c, url, func() { call("/pause?mode=abort", "") })
	if finish != "abort" || len(ids) == 0 || len(ids) >= len(whole) || fmt.Sprint(ids) != fmt.Sprint(whole[:len(ids)]) {
		t.Errorf("aborted: %d tokens (%s)", len(ids), finish)
	}
	call("/resume", "")
	if ids, finish := streamed(t, c, url, func() { call("/pause?mode=wait", "") }); len(ids) != len(whole) || finish != "length" {
		t.Errorf("waited for: %d tokens (%s)", len(ids), finish)
	}
	call("/resume", "")
	// A reload in the middle: the request goes on with the new weights, which are the old ones here.
	reload := func() { call("/collective_rpc", `{"method":"reload_weights"}`) }
	if ids, _ := streamed(t, c, url, reload); fmt.Sprint(ids) != fmt.Sprint(whole) {
		t.Errorf("reloaded equal weights: %d tokens, other ones", len(ids))
	}
}
