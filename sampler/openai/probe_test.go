package openai_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openai"
)

// TestProbe: what a plain server does is seen, and what it refuses is not guessed.
func TestProbe(t *testing.T) {
	const one, two = `{"data":[{"id":"m","max_model_len":100}]}`, `{"data":[{"id":"lora","parent":"b"},{"id":"a"},{"id":"b","root":"/b"}]}`
	choices := func(texts ...string) string {
		type choice struct {
			Message map[string]string `json:"message"`
		}
		var all []choice
		for _, text := range texts {
			all = append(all, choice{map[string]string{"content": text}})
		}
		b, _ := json.Marshal(map[string]any{"choices": all})
		return string(b)
	}
	for _, c := range []struct {
		name, models, served string
		status               int
		answers              [2]string
		want                 sampler.Info
		err                  string
	}{
		{"all", one, "", 200, [2]string{choices("x", "y"), choices("x", "y")}, sampler.Info{Models: []string{"m"}, Model: "m", MaxModelLen: 100, Seeds: true}, ""},
		{"no seeds", one, "", 200, [2]string{choices("x", "y"), choices("x", "z")}, sampler.Info{Models: []string{"m"}, Model: "m", MaxModelLen: 100}, ""},
		{"no n", one, "m", 200, [2]string{choices("x"), choices("x")}, sampler.Info{Models: []string{"m"}, Model: "m", MaxModelLen: 100, Seeds: true, MaxSamples: 1}, ""},
		{"fields refused", one, "", 400, [2]string{`{"error":"n"}`}, sampler.Info{Models: []string{"m"}, Model: "m", MaxModelLen: 100}, ""},
		{"one of two", two, "b", 400, [2]string{`{}`}, sampler.Info{Models: []string{"a", "b", "lora"}, Adapters: []string{"lora"}, Model: "b", Root: "/b"}, ""},
		{"an adapter", two, "lora", 400, [2]string{`{}`}, sampler.Info{Models: []string{"a", "b", "lora"}, Adapters: []string{"lora"}, Model: "lora"}, ""},
		{"none named", two, "", 200, [2]string{}, sampler.Info{}, "serves 2 models (a, b, lora); name one with --served-model"},
		{"none there", `{"data":[]}`, "", 200, [2]string{}, sampler.Info{}, "lists no model at /v1/models"},
		{"another", one, "x", 200, [2]string{}, sampler.Info{}, `does not serve "x"; it serves m`},
		{"no chat", one, "", 404, [2]string{`{"error":"no such route"}`}, sampler.Info{}, "has no chat at /v1/chat/completions (no such route)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1/models" {
					_, _ = w.Write([]byte(c.models))
					return
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.answers[asked]))
				asked++
			}))
			defer srv.Close()
			e, err := endpoint.New(srv.URL, endpoint.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			got, err := openai.Probe(t.Context(), e, c.served, endpoint.Retry{Tries: 1})
			if c.err != "" {
				var cannot *sampler.CannotError
				if !errors.As(err, &cannot) || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v, want %s", err, c.err)
				}
				return
			}
			c.want.Dialect = sampler.DialectOpenAI
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, diff)
			}
		})
	}
}

// A web server that is no inference server is told as what it is.
func TestAnyWebServer(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a page for everything": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>Welcome</html>")) },
		"nothing there":         http.NotFound,
		"no GET":                func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) },
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(h)
			defer srv.Close()
			e, err := endpoint.New(srv.URL, endpoint.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			_, err = openai.Probe(t.Context(), e, "", endpoint.Retry{Tries: 1})
			if err == nil || !strings.Contains(err.Error(), srv.URL+"/v1/models") || !strings.Contains(err.Error(), "this is no inference server, or not its address") {
				t.Errorf("error %v", err)
			}
		})
	}
}
