package ollama

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/ollama/ollama/api"

	"github.com/justrl/justrl/internal/ollamatest"
)

// recording is one request to a real Ollama and what it answered (record_test.go makes them).
type recording struct {
	Name   string          `json:"name"`
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Body   json.RawMessage `json:"body,omitempty"`
	Status int             `json:"status"`
	Reply  json.RawMessage `json:"reply"`
}

const recordings = "testdata/ollama.jsonl"

func recorded(t *testing.T) []recording {
	t.Helper()
	b, err := os.ReadFile(recordings)
	if err != nil {
		t.Fatal(err)
	}
	var out []recording
	for line := range strings.Lines(string(b)) {
		var r recording
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	if len(out) < 8 {
		t.Fatalf("%s has %d recordings", recordings, len(out))
	}
	return out
}

// TestFakeIsLikeARealOllama: to the same request, the fake gives the same status, and every
// field that it sends is one that the real server sends, with the same kind of value.
func TestFakeIsLikeARealOllama(t *testing.T) {
	server := fake(t, ollamatest.Options{Model: "justrl:latest", License: "a license"})
	for _, r := range recorded(t) {
		t.Run(r.Name, func(t *testing.T) {
			status, reply := send(t, server.URL, r)
			if status != r.Status {
				t.Fatalf("status %d, the real one has %d: %s", status, r.Status, reply)
			}
			if len(reply) == 0 {
				return
			}
			var got, want any
			if err := json.Unmarshal(reply, &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(r.Reply, &want); err != nil {
				t.Fatal(err)
			}
			alike(t, "", got, want)
		})
	}
}

func send(t *testing.T, url string, r recording) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.Method, url+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return resp.StatusCode, bytes.TrimSpace(b)
}

// optional are fields whose names are data, or that a model may lack.
var optional = []string{".model_info.", ".license", ".system", ".logprobs", ".models[].size", ".models[].details", ".models[].expires_at", ".models[].modified_at"}

func alike(t *testing.T, at string, got, want any) {
	t.Helper()
	for _, o := range optional {
		if strings.HasPrefix(at, o) && want == nil {
			return
		}
	}
	switch g := got.(type) {
	case nil:
	case map[string]any:
		w, ok := want.(map[string]any)
		if !ok {
			t.Errorf("%s is an object, the real server's %T", at, want)
			return
		}
		for key, x := range g {
			alike(t, at+"."+key, x, w[key])
		}
	case []any:
		w, ok := want.([]any)
		if !ok {
			t.Errorf("%s is a list, the real server's %T", at, want)
			return
		}
		if len(g) > 0 && len(w) > 0 {
			alike(t, at+"[]", g[0], w[0])
		}
	default:
		if fmt.Sprintf("%T", got) != fmt.Sprintf("%T", want) {
			t.Errorf("%s is a %T, the real server's %T", at, got, want)
		}
	}
}

// TestRecordedAnswers: what a real server answered is told as it was sampled.
func TestRecordedAnswers(t *testing.T) {
	read := 0
	for _, r := range recorded(t) {
		if !strings.HasPrefix(r.Name, "answer ") {
			continue
		}
		read++
		var reply api.GenerateResponse
		if err := json.Unmarshal(r.Reply, &reply); err != nil {
			t.Fatal(err)
		}
		want := reply.EvalCount
		if reply.DoneReason == "stop" {
			want--
		}
		text := ""
		for _, l := range reply.Logprobs {
			text += l.Token
		}
		if len(reply.Logprobs) != want || text != reply.Response || reply.PromptEvalCount == 0 {
			t.Errorf("%s: %d pieces %q of the %d tokens of %q", r.Name, len(reply.Logprobs), text, want, reply.Response)
		}
	}
	if read < 2 {
		t.Errorf("%d answers are recorded", read)
	}
}
