package sampler

import (
	"math"
	"strings"
	"testing"
)

func goodParams() Params {
	return Params{N: 8, Temperature: 1, TopP: 1, TopK: -1, MaxTokens: 15360, Logprobs: true}
}

func TestParamsValidate(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(*Params)
		faults   []string // of Validate
		training []string // of ValidateTraining beside them
	}{
		{"the paper's", func(*Params) {}, nil, nil},
		{"evaluation's", func(p *Params) { p.Temperature, p.TopP = 0.7, 0.9 }, nil, []string{"top_p: 0.9 truncates"}},
		{"top-k", func(p *Params) { p.TopK = 20 }, nil, []string{"top_k: 20 truncates"}},
		{"min-p", func(p *Params) { p.MinP = 0.05 }, nil, []string{"min_p: 0.05 truncates"}},
		{"greedy, one sample", func(p *Params) { p.Temperature, p.N = 0, 1 }, nil, []string{"temperature: 0 is greedy"}},
		{"greedy, more samples", func(p *Params) { p.Temperature = 0 }, []string{"temperature 0 needs n = 1"}, []string{"temperature: 0 is greedy"}},
		{"temperature is no number", func(p *Params) { p.Temperature = math.NaN() }, []string{"temperature: NaN"}, nil},
		{"temperature is infinite", func(p *Params) { p.Temperature = math.Inf(1) }, []string{"temperature: +Inf"}, nil},
		{"top_p is no number", func(p *Params) { p.TopP = math.NaN() }, []string{"top_p: NaN"}, nil},
		{"every fault at once", func(p *Params) {
			*p = Params{N: 0, Temperature: -1, TopP: 0, TopK: 0, MinP: 2, MaxTokens: 0, StopTokenIDs: []int32{-5}}
		}, []string{"n: 0", "temperature: -1", "top_p: 0", "top_k: 0", "min_p: 2", "max_tokens: 0", "stop_token_ids: -5"},
			[]string{"top_p: 0 truncates", "min_p: 2 truncates"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := goodParams()
			c.change(&p)
			wantFaults(t, "Validate", p.Validate(), c.faults)
			wantFaults(t, "ValidateTraining", p.ValidateTraining(), append(c.faults, c.training...))
		})
	}
}

func TestRequestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Request)
		faults []string
	}{
		{"whole row", func(*Request) {}, nil},
		{"one missing sample", func(r *Request) { r.First, r.Count = 7, 1 }, nil},
		{"the largest seed", func(r *Request) { r.Seed = math.MaxInt64 - 8 }, nil},
		{"no prompt", func(r *Request) { r.PromptTokenIDs = nil }, []string{"prompt: empty"}},
		{"beyond n", func(r *Request) { r.First, r.Count = 7, 2 }, []string{"samples [7, 9)"}},
		{"none", func(r *Request) { r.Count = 0 }, []string{"samples [0, 0)"}},
		{"before the first", func(r *Request) { r.First = -1 }, []string{"samples [-1, 7)"}},
		{"a seed whose streams would overflow", func(r *Request) { r.Seed = math.MaxInt64 - 7 }, []string{"seed: "}},
		{"a negative seed", func(r *Request) { r.Seed = -1 }, []string{"seed: -1"}},
		{"faults of the parameters too", func(r *Request) { r.Params.MaxTokens, r.PromptTokenIDs = 0, nil }, []string{"max_tokens: 0", "prompt: empty"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Request{PromptTokenIDs: []int32{1}, Params: goodParams(), Seed: 1, Count: 8}
			c.change(&r)
			wantFaults(t, "Validate", r.Validate(), c.faults)
		})
	}
}

// wantFaults asserts that err names exactly these faults.
func wantFaults(t *testing.T, what string, err error, faults []string) {
	t.Helper()
	if err == nil {
		if len(faults) > 0 {
			t.Errorf("%s: no error, want %q", what, faults)
		}
		return
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(faults) {
		t.Errorf("%s: %d faults, want %d:\n%v", what, len(lines), len(faults), err)
	}
	for _, f := range faults {
		if !strings.Contains(err.Error(), f) {
			t.Errorf("%s: error lacks %q:\n%v", what, f, err)
		}
	}
}
