package ollama

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/ollamatest"
	"github.com/justrl/justrl/sampler"
)

func TestProbe(t *testing.T) {
	full := sampler.Info{
		Dialect: sampler.DialectOllama, Version: "0.17.4", Models: []string{"tiny:latest"}, Model: "tiny:latest", Quantization: "F16",
		MaxModelLen: 512, Vocab: ollamatest.PlainVocab, LogprobsMode: sampler.LogprobsRaw, Scores: true, MaxSamples: 1, Seeds: true,
		Loads: []string{"ollama"},
	}
	for _, c := range []struct {
		name    string
		o       ollamatest.Options
		f       ollamatest.Faults
		allowed bool
		want    func(*sampler.Info)
		cannot  string
	}{
		{"allowed", ollamatest.Options{}, ollamatest.Faults{}, true, func(*sampler.Info) {}, ""},
		{"not allowed", ollamatest.Options{}, ollamatest.Faults{}, false, func(*sampler.Info) {}, "neither takes nor gives token ids; allow it with --allow-retokenized"},
		{"of a run", ollamatest.Options{License: "MIT\nweights of justrl run r-7\n"}, ollamatest.Faults{}, true, func(i *sampler.Info) { i.WeightVersion = "r-7" }, ""},
		{"processed log-probs", ollamatest.Options{}, ollamatest.Faults{Processed: true}, true, func(i *sampler.Info) { i.LogprobsMode = sampler.LogprobsProcessed }, ""},
		{"no log-probs", ollamatest.Options{}, ollamatest.Faults{NoPieces: true}, true, func(i *sampler.Info) { i.LogprobsMode, i.Scores = "", false }, "use Ollama 0.12.11 or later"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := fake(t, c.o)
			server.Set(c.f)
			want := full
			c.want(&want)
			for _, name := range []string{"", "tiny", "tiny:latest"} {
				got, err := Probe(t.Context(), connect(t, server.URL), name, quick)
				if err != nil {
					t.Fatal(err)
				}
				root := got.Root
				if got.Root = ""; !strings.HasPrefix(root, "/models/blobs/sha256-") {
					t.Errorf("root %q", root)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("model %q (-want +got)\n%s", name, diff)
				}
				err = ForTraining(got, server.URL, ollamatest.PlainVocab, c.allowed)
				if (err == nil) != (c.cannot == "") || err != nil && (!strings.Contains(err.Error(), c.cannot) || !strings.Contains(err.Error(), server.URL)) {
					t.Errorf("for training: %v, want %q", err, c.cannot)
				}
				if err := ForTraining(got, server.URL, 512, true); err == nil || !strings.Contains(err.Error(), "a vocabulary of 264, the run's model has 512") {
					t.Errorf("another vocabulary: %v", err)
				}
			}
		})
	}
}

func TestProbeRefuses(t *testing.T) {
	server := fake(t, ollamatest.Options{})
	vllm := httptest.NewServer(http.NotFoundHandler())
	defer vllm.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer page.Close()
	var cannot *sampler.CannotError
	for _, c := range []struct{ name, url, model, want string }{
		{"another model", server.URL, "big", `does not serve "big"; it has tiny:latest`},
		{"another kind of server", vllm.URL, "", "is no Ollama server"},
		{"a page", page.URL, "", "is no Ollama server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Probe(t.Context(), connect(t, c.url), c.model, quick)
			if !errors.As(err, &cannot) || !strings.Contains(err.Error(), c.want) || !cmp.Equal(got, sampler.Info{}) {
				t.Errorf("%+v, %v; want a CannotError with %q", got, err, c.want)
			}
		})
	}
	server.Recreate("second:latest", nil)
	if _, err := Probe(t.Context(), connect(t, server.URL), "", quick); !errors.As(err, &cannot) || !strings.Contains(err.Error(), "has 2 models (second:latest, tiny:latest); name one") {
		t.Errorf("two models: %v", err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	var un *endpoint.UnreachableError
	if _, err := Probe(t.Context(), connect(t, gone.URL), "", quick); !errors.As(err, &un) {
		t.Errorf("nobody there: %v", err)
	}
}
