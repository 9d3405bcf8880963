//go:build ollama

package ollama

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/samplertest"
	"github.com/justrl/justrl/sampler/tokenizer"
)

// These tests run against a real Ollama that serves a model to nobody else
// (scripts/with-ollama MODEL go test -tags ollama …).

type real struct {
	e    *endpoint.Endpoint
	info sampler.Info
	tok  *tokenizer.Tokenizer
	o    Options
}

func realServer(t *testing.T) real {
	t.Helper()
	url, dir := os.Getenv("JUSTRL_OLLAMA"), os.Getenv("JUSTRL_OLLAMA_DIR")
	if url == "" || dir == "" {
		t.Skip("SKIPPED: no real Ollama: set JUSTRL_OLLAMA and JUSTRL_OLLAMA_DIR, as scripts/with-ollama does")
	}
	e := connect(t, url)
	info, err := Probe(t.Context(), e, os.Getenv("JUSTRL_OLLAMA_MODEL"), endpoint.Retry{})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Vocab int `json:"vocab_size"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err == nil {
		err = json.Unmarshal(b, &config)
	}
	if err != nil {
		t.Fatal(err)
	}
	return real{e, info, tok, Options{Model: info.Model, Tokenizer: tok, Vocab: config.Vocab, EndTokenID: tok.EOS()[0], Context: 512}}
}

func TestOllamaProbe(t *testing.T) {
	r := realServer(t)
	if r.info.Version != "0.17.4" {
		t.Errorf("version %q, want that of scripts/ollama-server: the fake imitates it", r.info.Version)
	}
	if r.info.LogprobsMode != sampler.LogprobsRaw || !r.info.Scores || r.info.Vocab != r.o.Vocab || r.info.MaxModelLen < 512 || r.info.Quantization != "F16" {
		t.Errorf("%+v", r.info)
	}
	if err := ForTraining(r.info, r.e.URL(), r.o.Vocab, true); err != nil {
		t.Error(err)
	}
}

func TestOllamaGeneratorConformance(t *testing.T) {
	r := realServer(t)
	samplertest.Generator(t, func(t *testing.T) samplertest.Subject {
		o := r.o
		o.Tries = 50 // a bare prompt makes an untrained policy say halves of characters
		g, err := New(r.e, o)
		if err != nil {
			t.Fatal(err)
		}
		return samplertest.Subject{
			Generator: g, Prompt: r.tok.Encode("<|im_start|>user\n1<|im_end|>\n"), Vocab: o.Vocab, MaxModelLen: o.Context,
			Reproducible: true, NoLogprobs: true,
		}
	})
}

// TestOllamaExactness measures what docs/servers.md says.
func TestOllamaExactness(t *testing.T) {
	r := realServer(t)
	g, err := New(r.e, r.o)
	if err != nil {
		t.Fatal(err)
	}
	canonical, answers := 0, 0
	for i, q := range []string{"What is 12 + 7?", "What is 3 + 4?", "What is 25 + 31?", "What is 8 + 9?"} {
		prompt, err := r.tok.Prompt(q)
		if err != nil {
			t.Fatal(err)
		}
		const n = 64
		out, err := g.Generate(t.Context(), sampler.Request{PromptTokenIDs: prompt, Seed: int64(i) << 20, Count: n,
			Params: sampler.Params{N: n, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: 64, Logprobs: true}})
		if err != nil {
			t.Fatal(err)
		}
		for _, ro := range out {
			ids := ro.TokenIDs
			if ro.FinishReason == sampler.FinishStop {
				ids = ids[:len(ids)-1]
			}
			answers++
			if slices.Equal(ids, r.tok.Encode(r.tok.Decode(ids, false))) {
				canonical++
			}
		}
		if i == 0 {
			t.Logf("an answer: %q", out[0].Text)
		}
	}
	s := g.Stats()
	t.Logf("of %d answers %d asked again (%.2f %%), %d sampled as other tokens than their text's (%.2f %%), %d as encoded of %d used",
		s.Answers, s.Mismatched, 100*float64(s.Mismatched)/float64(s.Answers), s.Uncanonical, 100*float64(s.Uncanonical)/float64(s.Answers), canonical, answers)
	if float64(s.Mismatched) > 0.1*float64(s.Answers) {
		t.Errorf("more than a tenth of the answers cannot be told")
	}
}

// TestOllamaScores: the same sequence twice, and how much of it is known.
func TestOllamaScores(t *testing.T) {
	r := realServer(t)
	g, err := New(r.e, r.o)
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := r.tok.Prompt("What is 12 + 7?")
	if err != nil {
		t.Fatal(err)
	}
	out, err := g.Generate(t.Context(), sampler.Request{PromptTokenIDs: prompt, Count: 1, Params: sampler.Params{N: 1, TopP: 1, TopK: -1, MaxTokens: 64}})
	if err != nil {
		t.Fatal(err)
	}
	seq := append(prompt, out[0].TokenIDs...)
	s, err := NewScorer(r.e, r.o, len(seq))
	if err != nil {
		t.Fatal(err)
	}
	var scores [2][]float32
	for i := range scores {
		got, err := s.Score(t.Context(), [][]int32{seq})
		if err != nil {
			t.Fatal(err)
		}
		scores[i] = got[0]
	}
	known, answer, worst := 0, 0, 0.0
	for i, x := range scores[0] {
		if (x == Unknown) != (scores[1][i] == Unknown) {
			t.Errorf("position %d is %v, then %v", i, x, scores[1][i])
		}
		if x == Unknown {
			continue
		}
		known++
		if i >= len(prompt)-1 {
			answer++
		}
		worst = max(worst, float64(max(x-scores[1][i], scores[1][i]-x)))
	}
	t.Logf("known: %d of %d positions, %d of the answer's %d; the second time differs by at most %.2g", known, len(scores[0]), answer, len(out[0].TokenIDs), worst)
	if answer < len(out[0].TokenIDs)*9/10 || worst > 1e-3 {
		t.Error("a greedy answer's tokens must be known, and twice the same")
	}
}
