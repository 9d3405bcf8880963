//go:build vllm

package vllm_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"testing"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/samplertest"
	"github.com/justrl/justrl/sampler/vllm"
)

// These tests run against a real vLLM that serves any small model in float32
// to nobody else (scripts/with-vllm MODEL go test -tags vllm …).

// realServer is the server of JUSTRL_VLLM_URL and what Probe says of it.
func realServer(t *testing.T) (*endpoint.Endpoint, sampler.Info) {
	t.Helper()
	url := os.Getenv("JUSTRL_VLLM_URL")
	if url == "" {
		t.Skipf("SKIPPED: no real vLLM: set JUSTRL_VLLM_URL, as scripts/with-vllm does")
	}
	e := keyed(t, url, "")
	info, err := vllm.Probe(t.Context(), e, "", endpoint.Retry{})
	if err != nil {
		t.Fatal(err)
	}
	return e, info
}

func TestVLLMProbe(t *testing.T) {
	e, info := realServer(t)
	if info.Version != "0.32.0" {
		t.Errorf("version %q, want that of scripts/vllm-env: the fake server imitates it", info.Version)
	}
	if info.Model == "" || info.Root == "" || len(info.Models) != 1 {
		t.Errorf("model %q from %q of %q", info.Model, info.Root, info.Models)
	}
	if info.MaxModelLen < 256 || info.Vocab < 256 {
		t.Errorf("context %d, vocabulary %d", info.MaxModelLen, info.Vocab)
	}
	if !info.DevMode || info.Paused || info.WeightVersion == "" {
		t.Errorf("dev mode %v, paused %v, weights %q", info.DevMode, info.Paused, info.WeightVersion)
	}
	if info.LogprobsMode != sampler.LogprobsRaw {
		t.Errorf("log-probs are %q, want raw, vLLM's default", info.LogprobsMode)
	}
	if err := vllm.ForTraining(info, e.URL(), info.Vocab); err != nil {
		t.Error(err)
	}
}

// TestVLLMProbeSeesAPause also shows that a probe does not wait for a resume.
func TestVLLMProbeSeesAPause(t *testing.T) {
	e, _ := realServer(t)
	post := func(path string) {
		if err := e.Do(context.WithoutCancel(t.Context()), http.MethodPost, path, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { post("/resume") }) // the other tests need it
	post("/pause?mode=keep")
	info, err := vllm.Probe(t.Context(), e, "", endpoint.Retry{})
	if err != nil || !info.Paused {
		t.Errorf("paused %v, %v", info.Paused, err)
	}
}

func TestVLLMProbeRefusesAnotherModel(t *testing.T) {
	e, info := realServer(t)
	if _, err := vllm.Probe(t.Context(), e, info.Model+"-2", quick); err == nil {
		t.Error("a model that is not served was probed")
	}
}

func TestVLLMGeneratorConformance(t *testing.T) {
	e, info := realServer(t)
	samplertest.Generator(t, func(t *testing.T) samplertest.Subject {
		o := vllm.Options{Model: info.Model, Vocab: info.Vocab}
		g, err := vllm.New(e, o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := vllm.NewScorer(e, o)
		if err != nil {
			t.Fatal(err)
		}
		return samplertest.Subject{
			Generator: g, Score: s.Score,
			Running: func(ctx context.Context) (int, error) { return running(ctx, e) },
			Prompt:  []int32{20, 21, 22, 23}, Vocab: info.Vocab, MaxModelLen: info.MaxModelLen,
			Tolerance: 1e-4, Reproducible: true, Raw: true,
		}
	})
}

// TestVLLMScoresAloneAreBitEqual is what the canary builds on: the same
// sequence on an idle server has the same log-probs to the last bit, cached or not.
func TestVLLMScoresAloneAreBitEqual(t *testing.T) {
	e, info := realServer(t)
	_, g, s := open(t, e.URL(), vllm.Options{Model: info.Model, Vocab: info.Vocab})
	long := make([]int32, 200) // over a block of the prefix cache, 128 tokens on a CPU
	for i := range long {
		long[i] = int32(20 + i*7%200)
	}
	r := request(1, 1)
	r.PromptTokenIDs = long
	if _, err := g.Generate(t.Context(), r); err != nil { // fills the cache
		t.Fatal(err)
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

// running reads the number of requests under way from vLLM's metrics.
func running(ctx context.Context, e *endpoint.Endpoint) (int, error) {
	var text []byte
	if err := e.Do(ctx, http.MethodGet, "/metrics", nil, &text); err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("vllm:num_requests_running{")) {
			value := line[bytes.LastIndexByte(line, ' ')+1:]
			n, err := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
			return int(n), err
		}
	}
	return 0, fmt.Errorf("%s/metrics has no vllm:num_requests_running", e.URL())
}
