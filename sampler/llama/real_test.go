//go:build llama

package llama_test

import (
	"context"
	"math"
	"net/http"
	"os"
	"testing"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/llama"
	"github.com/justrl/justrl/sampler/samplertest"
)

// These tests run against a real llama-server that serves any small model in
// float32 to nobody else (scripts/with-llama MODEL go test -tags llama …).

// realServer is the server of JUSTRL_LLAMA_URL and what Probe says of it.
func realServer(t *testing.T) (*endpoint.Endpoint, sampler.Info) {
	t.Helper()
	url := os.Getenv("JUSTRL_LLAMA_URL")
	if url == "" {
		t.Skip("SKIPPED: no real llama-server: set JUSTRL_LLAMA_URL, as scripts/with-llama does")
	}
	e := dial(t, url)
	info, err := llama.Probe(t.Context(), e, "", endpoint.Retry{})
	if err != nil {
		t.Fatal(err)
	}
	return e, info
}

func TestLlamaProbe(t *testing.T) {
	_, info := realServer(t)
	if info.Model == "" || info.Root == "" || info.Version == "" || info.MaxModelLen < 256 || info.Vocab < 256 {
		t.Errorf("%+v", info)
	}
	if !info.TokenIDs || !info.Scores || info.LogprobsMode != sampler.LogprobsRaw {
		t.Errorf("token ids %v, scores %v, log-probs %q", info.TokenIDs, info.Scores, info.LogprobsMode)
	}
}

func TestLlamaGeneratorConformance(t *testing.T) {
	e, info := realServer(t)
	samplertest.Generator(t, func(t *testing.T) samplertest.Subject {
		g, s := clients(t, e, llama.Options{Vocab: info.Vocab})
		return samplertest.Subject{
			Generator: g, Score: s.Score,
			Running: func(ctx context.Context) (int, error) { return running(ctx, e) },
			Prompt:  []int32{20, 21, 22, 23}, Vocab: info.Vocab, MaxModelLen: info.MaxModelLen,
			Tolerance: 1e-3, Reproducible: true, Raw: true,
		}
	})
}

// TestLlamaScoresAloneAreBitEqual is what the canary builds on.
func TestLlamaScoresAloneAreBitEqual(t *testing.T) {
	e, info := realServer(t)
	_, s := clients(t, e, llama.Options{Vocab: info.Vocab})
	long := make([]int32, 60)
	for i := range long {
		long[i] = int32(20 + i*7%200)
	}
	seqs := [][]int32{{20, 21}, long, {23, 22, 21}}
	first, err := s.Score(t.Context(), seqs)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.Score(t.Context(), seqs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range seqs {
		for j, x := range first[i] {
			if math.Float32bits(x) != math.Float32bits(second[i][j]) {
				t.Fatalf("sequence %d, token %d: %v, then %v", i, j+1, x, second[i][j])
			}
		}
	}
}

// running is the number of slots that work.
func running(ctx context.Context, e *endpoint.Endpoint) (int, error) {
	var slots []struct {
		IsProcessing bool `json:"is_processing"`
	}
	err := e.Do(ctx, http.MethodGet, "/slots", nil, &slots)
	n := 0
	for _, s := range slots {
		if s.IsProcessing {
			n++
		}
	}
	return n, err
}
