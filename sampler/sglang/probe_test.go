package sglang_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/sglang"
	"github.com/justrl/justrl/sampler/sglang/sglangtest"
)

func TestProbe(t *testing.T) {
	full := sampler.Info{
		Dialect: sampler.DialectSGLang, Version: "0.5.10", Models: []string{"tiny"}, Model: "tiny", Root: "tiny",
		MaxModelLen: 512, Vocab: 512, TokenIDs: true, LogprobsMode: sampler.LogprobsProcessed, Scores: true,
		Seeds: true, DevMode: true, WeightVersion: "default", Loads: []string{"disk"},
	}
	with := func(change func(*sampler.Info)) sampler.Info { i := full; change(&i); return i }
	for _, c := range []struct {
		name string
		o    sglangtest.Options
		want sampler.Info
	}{
		{"as it comes", sglangtest.Options{}, full},
		{"later names of the routes", sglangtest.Options{Renamed: true}, full},
		{"raw log-probs", sglangtest.Options{Original: true}, with(func(i *sampler.Info) { i.LogprobsMode = sampler.LogprobsRaw })},
		{"seeds are ignored", sglangtest.Options{Unseeded: true}, with(func(i *sampler.Info) { i.Seeds = false })},
		{"behind a gateway", sglangtest.Options{NoControl: true}, with(func(i *sampler.Info) { i.DevMode, i.Loads = false, nil })},
		{"another vocabulary and context", sglangtest.Options{Policy: openaitest.Options{Vocab: 300, MaxModelLen: 128}},
			with(func(i *sampler.Info) { i.Vocab, i.MaxModelLen = 300, 128 })},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := sglangtest.New(t, c.o)
			got, err := sglang.Probe(t.Context(), dial(t, fake.URL), "", quick)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestProbeRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		served string
		spoil  func(*testing.T, *sglangtest.Server)
		retry  endpoint.Retry
		want   string
	}{
		{"another model", "huge", nil, quick, `does not serve "huge"; it serves tiny`},
		{"no generation", "", func(_ *testing.T, s *sglangtest.Server) {
			s.Takeover("/get_model_info", 1, func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"model_path":"bge","is_generation":false}`))
			})
		}, quick, "serves bge, which does not generate text"},
		{"paused", "", func(t *testing.T, s *sglangtest.Server) {
			if err := dial(t, s.URL).Do(t.Context(), http.MethodPost, "/pause_generation", struct{}{}, nil); err != nil {
				t.Error(err)
			}
		}, endpoint.Retry{Tries: 1, Attempt: 50 * time.Millisecond}, "did not generate 16 tokens within 50ms; if it was paused, let it go on: curl -X POST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := sglangtest.New(t, sglangtest.Options{})
			if c.spoil != nil {
				c.spoil(t, fake)
			}
			_, err := sglang.Probe(t.Context(), dial(t, fake.URL), c.served, c.retry)
			var cannot *sampler.CannotError
			if !errors.As(err, &cannot) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// A server of another kind is told apart, so that its own dialect can be tried.
func TestProbeTellsOtherServersApart(t *testing.T) {
	vllm := openaitest.New(t, openaitest.Options{})
	_, err := sglang.Probe(t.Context(), dial(t, vllm.URL), "", quick)
	var cannot *sampler.CannotError
	if !errors.As(err, &cannot) || !strings.Contains(err.Error(), "it is no SGLang") {
		t.Errorf("a vLLM: %v", err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	_, err = sglang.Probe(t.Context(), dial(t, gone.URL), "", endpoint.Retry{Tries: 1})
	var unreachable *endpoint.UnreachableError
	if !errors.As(err, &unreachable) {
		t.Errorf("nobody there: %v", err)
	}
}
