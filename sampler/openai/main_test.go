package openai

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/justrl/justrl/internal/endpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client talks to url with a key and with retries that do not slow a test down.
func client(t *testing.T, url, key string) *Client {
	t.Helper()
	e, err := endpoint.New(url, endpoint.Options{APIKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return New(e, endpoint.Retry{Tries: 3, First: time.Millisecond, Attempt: 10 * time.Second})
}

// serve answers every request with body.
func serve(t *testing.T, body string) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	return srv
}

// judge is a request as a judge's is: one greedy answer.
func judge() ChatRequest {
	return ChatRequest{
		Model: "tiny", Messages: []Message{{Role: "user", Content: "Is <b>2</b> right?"}},
		N: 1, Temperature: 0, TopP: 1, MaxTokens: 8, Seed: 0,
	}
}
