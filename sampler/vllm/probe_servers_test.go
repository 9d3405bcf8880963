package vllm_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/vllm"
)

// answer is a status and a body.
type answer struct {
	status int
	body   string
}

// instead serves the fake, but for the paths that have another answer.
func instead(t *testing.T, o openaitest.Options, answers map[string]answer) string {
	t.Helper()
	target, err := url.Parse(openaitest.New(t, o).URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a, ok := answers[r.URL.Path]; ok {
			w.WriteHeader(a.status)
			_, _ = w.Write([]byte(a.body))
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func models(list ...string) answer {
	var entries []string
	for _, m := range list {
		id, parent, adapter := strings.Cut(m, " of ")
		quoted := "null"
		if adapter {
			quoted = `"` + parent + `"`
		}
		entries = append(entries, fmt.Sprintf(`{"id":%q,"root":"/m/%s","parent":%s}`, id, id, quoted))
	}
	return answer{http.StatusOK, `{"data":[` + strings.Join(entries, ",") + `]}`}
}

// TestProbeOtherServers: what a server lacks is left zero, not made up.
func TestProbeOtherServers(t *testing.T) {
	none := answer{http.StatusNotFound, `{"detail":"Not Found"}`}
	full := sampler.Info{
		Dialect: sampler.DialectVLLM, TokenIDs: true, Scores: true, Seeds: true, Loads: []string{"files"},
		Version: "0.32.0", Models: []string{"tiny"}, Model: "tiny", MaxModelLen: 512, Vocab: 512,
		DevMode: true, WeightVersion: "default", LogprobsMode: sampler.LogprobsRaw,
	}
	for _, c := range []struct {
		name, model string
		answers     map[string]answer
		want        func(*sampler.Info)
	}{
		{"no /version", "", map[string]answer{"/version": none}, func(i *sampler.Info) { i.Version = "" }},
		{"no /tokenize", "", map[string]answer{"/tokenize": none}, func(i *sampler.Info) { i.MaxModelLen = 0 }},
		{"no /weight_info, as before 0.30", "", map[string]answer{"/weight_info": none}, func(i *sampler.Info) { i.WeightVersion = "" }},
		{"the base model among adapters", "", map[string]answer{"/v1/models": models("ada of tiny", "tiny", "bob of tiny")},
			func(i *sampler.Info) {
				i.Models, i.Adapters, i.Root = []string{"tiny", "ada", "bob"}, []string{"ada", "bob"}, "/m/tiny"
			}},
		{"one of two models", "tiny", map[string]answer{"/v1/models": models("other", "tiny")},
			func(i *sampler.Info) { i.Models, i.Root = []string{"other", "tiny"}, "/m/tiny" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := keyed(t, instead(t, openaitest.Options{}, c.answers), "")
			want := full
			c.want(&want)
			got, err := vllm.Probe(t.Context(), e, c.model, quick)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestProbeFails: a failure of the server is not taken for something that it lacks.
func TestProbeFails(t *testing.T) {
	refused := answer{http.StatusBadRequest, `{"error":{"message":"no","type":"BadRequestError","param":null,"code":400}}`}
	for _, path := range []string{"/v1/models", "/version", "/tokenize", "/is_paused", "/weight_info"} {
		t.Run(path, func(t *testing.T) {
			e := keyed(t, instead(t, openaitest.Options{}, map[string]answer{path: refused}), "")
			got, err := vllm.Probe(t.Context(), e, "", quick)
			var status *endpoint.StatusError
			if !errors.As(err, &status) || status.Status != 400 || !strings.HasSuffix(status.URL, path) {
				t.Errorf("error %v, want the 400 of %s", err, path)
			}
			if diff := cmp.Diff(sampler.Info{}, got); diff != "" {
				t.Errorf("info of a failed probe: %s", diff)
			}
		})
	}
	for _, c := range []struct {
		name   string
		models answer
		want   string
	}{
		{"two models and no name", models("a", "b"), "serves 2 models (a, b); name one"},
		{"no models", models(), "lists no model"},
		{"adapters alone", models("a of x"), "serves 0 models (a)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := keyed(t, instead(t, openaitest.Options{}, map[string]answer{"/v1/models": c.models}), "")
			_, err := vllm.Probe(t.Context(), e, "", quick)
			var cannot *sampler.CannotError
			if !errors.As(err, &cannot) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want a CannotError: %s", err, c.want)
			}
		})
	}
}
