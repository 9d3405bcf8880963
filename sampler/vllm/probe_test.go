package vllm_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/openaitest"
	"github.com/justrl/justrl/sampler/vllm"
)

var quick = endpoint.Retry{Tries: 2, First: time.Millisecond}

func TestProbe(t *testing.T) {
	ready := sampler.Info{
		Dialect: sampler.DialectVLLM, TokenIDs: true, Scores: true, Seeds: true, Loads: []string{"files"},
		Version: "0.32.0", Models: []string{"tiny"}, Model: "tiny", MaxModelLen: 512, Vocab: 512,
		DevMode: true, WeightVersion: "default", LogprobsMode: sampler.LogprobsRaw,
	}
	for _, c := range []struct {
		name  string
		o     openaitest.Options
		pause bool
		want  func(*sampler.Info)
		cant  []string // what ForTraining with a vocabulary of 512 says
	}{
		{"a server for training", openaitest.Options{}, false, func(*sampler.Info) {}, nil},
		{"processed log-probs", openaitest.Options{Processed: true}, false, func(i *sampler.Info) { i.LogprobsMode = sampler.LogprobsProcessed }, nil},
		{"no dev mode", openaitest.Options{NoDevMode: true}, false, func(i *sampler.Info) { i.DevMode, i.WeightVersion, i.Loads = false, "", nil },
			[]string{"dev mode is off", "VLLM_SERVER_DEV_MODE=1 vllm serve"}},
		{"another vocabulary", openaitest.Options{Vocab: 640}, false, func(i *sampler.Info) { i.Vocab = 640 },
			[]string{"serves tiny with a vocabulary of 640, the run's model has 512"}},
		{"paused", openaitest.Options{}, true, func(i *sampler.Info) {
			i.Paused, i.Vocab, i.LogprobsMode, i.TokenIDs, i.Scores = true, 0, "", false, false
		},
			[]string{"generation is paused", "/resume"}},
		{"everything wrong at once", openaitest.Options{NoDevMode: true, Vocab: 600}, false, func(i *sampler.Info) { i.DevMode, i.WeightVersion, i.Vocab, i.Loads = false, "", 600, nil },
			[]string{"dev mode is off", "vocabulary of 600"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := openaitest.New(t, c.o)
			e, _, _ := open(t, fake.URL, vllm.Options{})
			if c.pause {
				if err := e.Do(t.Context(), http.MethodPost, "/pause", nil, nil); err != nil {
					t.Fatal(err)
				}
			}
			want := ready
			c.want(&want)
			for _, model := range []string{"", "tiny"} {
				got, err := vllm.Probe(t.Context(), e, model, quick)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("model %q (-want +got)\n%s", model, diff)
				}
				err = vllm.ForTraining(got, e.URL(), 512)
				if (err == nil) != (len(c.cant) == 0) {
					t.Fatalf("ForTraining: %v", err)
				}
				for _, what := range c.cant {
					if !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), e.URL()) {
						t.Errorf("ForTraining says %v, want %q and the URL", err, what)
					}
				}
			}
		})
	}
}

func TestProbeRefuses(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{APIKey: "sk-1"})
	gone := openaitest.New(t, openaitest.Options{})
	goneURL := gone.URL
	gone.Close()
	t.Run("another model", func(t *testing.T) {
		e := keyed(t, fake.URL, "sk-1")
		_, err := vllm.Probe(t.Context(), e, "big", quick)
		var cannot *sampler.CannotError
		if !errors.As(err, &cannot) || !strings.Contains(err.Error(), `does not serve "big"; it serves tiny`) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a wrong key", func(t *testing.T) {
		_, err := vllm.Probe(t.Context(), keyed(t, fake.URL, "sk-2"), "", quick)
		var status *endpoint.StatusError
		if !errors.As(err, &status) || status.Status != http.StatusUnauthorized {
			t.Errorf("error %v, want a 401", err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		_, err := vllm.Probe(t.Context(), keyed(t, goneURL, ""), "", quick)
		var un *endpoint.UnreachableError
		if !errors.As(err, &un) || !strings.Contains(err.Error(), "nothing listens there") {
			t.Errorf("error %v, want an UnreachableError", err)
		}
	})
	t.Run("something else there", func(t *testing.T) {
		fake.Inject(openaitest.Fault{Kind: openaitest.FaultGarbage, Path: "/v1/models"})
		_, err := vllm.Probe(t.Context(), keyed(t, fake.URL, "sk-1"), "", quick)
		var bad *endpoint.ReplyError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), "/v1/models") {
			t.Errorf("error %v, want a ReplyError", err)
		}
	})
}

func keyed(t *testing.T, url, key string) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.New(url, endpoint.Options{APIKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}
