//go:build ollama

package ollama

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"regexp"
	"testing"

	"github.com/justrl/justrl/sampler"
)

var record = flag.Bool("record", false, "write testdata/ollama.jsonl anew from the real server")

// somewhere is where the recording machine had its models.
var somewhere = regexp.MustCompile(`FROM /[^ "\\]*/blobs/`)

// TestOllamaRecord is how testdata/ollama.jsonl was made:
//
//	scripts/with-ollama examples/arithmetic/policy go test -tags ollama -run OllamaRecord ./sampler/ollama -record
func TestOllamaRecord(t *testing.T) {
	r := realServer(t)
	if !*record {
		t.Skip("SKIPPED: nothing to record without -record")
	}
	g, err := New(r.e, r.o)
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := r.tok.Prompt("What is 12 + 7?")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(change func(*sampler.Request), top int) json.RawMessage {
		q := sampler.Request{PromptTokenIDs: prompt, Count: 1, Params: sampler.Params{N: 1, TopP: 1, TopK: -1, MaxTokens: 48}}
		change(&q)
		text, err := g.prompt(q.PromptTokenIDs)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(g.request(q, text, seed(q.Seed, 0), top))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	long := bytes.Replace(ask(func(*sampler.Request) {}, 0), []byte(`"num_ctx":512`), []byte(`"num_ctx":8`), 1)
	var out bytes.Buffer
	for _, c := range []recording{
		{Name: "version", Method: "GET", Path: "/api/version"},
		{Name: "models", Method: "GET", Path: "/api/tags"},
		{Name: "a model", Method: "POST", Path: "/api/show", Body: json.RawMessage(`{"model":"justrl"}`)},
		{Name: "no such model", Method: "POST", Path: "/api/show", Body: json.RawMessage(`{"model":"other"}`)},
		{Name: "answer that ends", Method: "POST", Path: generatePath, Body: ask(func(*sampler.Request) {}, 0)},
		{Name: "answer that is cut", Method: "POST", Path: generatePath, Body: ask(func(q *sampler.Request) { q.Params.MaxTokens = 3 }, 0)},
		{Name: "answer of a sampled token", Method: "POST", Path: generatePath, Body: ask(func(q *sampler.Request) { q.Params.Temperature, q.Params.MaxTokens = 1, 1 }, 3)},
		{Name: "a prompt over the context", Method: "POST", Path: generatePath, Body: long},
		{Name: "runners", Method: "GET", Path: "/api/ps"},
		{Name: "no such blob", Method: "HEAD", Path: "/api/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{Name: "a blob of another digest", Method: "POST", Path: "/api/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Body: json.RawMessage(`"x"`)},
		{Name: "unload", Method: "POST", Path: generatePath, Body: json.RawMessage(`{"model":"justrl","prompt":"","keep_alive":"0s","stream":false}`)},
		{Name: "load", Method: "POST", Path: generatePath, Body: json.RawMessage(`{"model":"justrl","prompt":"","options":{"num_ctx":512},"stream":false}`)},
	} {
		c.Status, c.Reply = send(t, r.e.URL(), c)
		if len(c.Reply) == 0 || c.Method == http.MethodHead {
			c.Reply = json.RawMessage("null")
		}
		c.Reply = somewhere.ReplaceAll(c.Reply, []byte("FROM /models/blobs/"))
		line, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("%s: %v in %s", c.Name, err, c.Reply)
		}
		out.Write(append(line, '\n'))
	}
	if err := os.WriteFile(recordings, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
