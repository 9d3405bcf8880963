package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/justrl/justrl/sampler/openaitest"
)

const example = "../../../examples/arithmetic/"

// fakePython answers like transformers_generate.py, 7 tokens to every question.
func fakePython(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRunTakesTurns(t *testing.T) {
	var args []string
	var fakes []*openaitest.Server
	for _, name := range []string{"a", "b"} {
		fake := openaitest.New(t, openaitest.Options{Vocab: 384})
		fakes = append(fakes, fake)
		args = append(args, "--server", name+"="+fake.URL)
	}
	python := fakePython(t, `echo '{"tokens":0}'; while read line; do echo '{"tokens":7}'; done`)
	args = append(args, "--model", example+"policy", "--data", example+"heldout.jsonl", "--transformers", python,
		"--prompts", "3", "--n", "2", "--max-tokens", "5", "--rounds", "2", "--gap", "0", "--json", "--bar", "a/b=1e-9", "--bar", "b/a=1e9")
	var out, errs bytes.Buffer
	if err := run(t.Context(), args, &out, &errs); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Modes) != 2 || !r.Modes[0].Logprobs || r.Modes[1].Logprobs {
		t.Fatalf("modes: %+v", r.Modes)
	}
	if r.Parameters < 600_000 || r.Parameters > 700_000 {
		t.Errorf("%d parameters in 2.6 MB of float32", r.Parameters)
	}
	for _, m := range r.Modes {
		a, b, p := m.Results[0], m.Results[1], m.Results[2]
		if a.Name != "a" || b.Name != "b" || p.Name != transformersName {
			t.Fatalf("results: %+v", m.Results)
		}
		// Equal fakes, equal seeds: the same samples, at most 5 tokens each.
		if a.Tokens != b.Tokens || a.Tokens < 2*3*2 || a.Tokens > 2*3*2*5 {
			t.Errorf("%d and %d tokens", a.Tokens, b.Tokens)
		}
		if p.Tokens != 14 || p.Cores == nil || a.Cores != nil {
			t.Errorf("transformers: %+v", p)
		}
		if !m.Bars[0].Met || m.Bars[1].Met {
			t.Errorf("bars: %+v", m.Bars)
		}
	}
	var turns []string
	for _, found := range regexp.MustCompile(`(a|b|transformers) \d+ tok/s`).FindAllStringSubmatch(errs.String(), -1) {
		turns = append(turns, found[1])
	}
	if want := strings.Repeat("a b transformers ", 2*3); strings.Join(turns, " ")+" " != want {
		t.Errorf("turns %v, want %s", turns, want)
	}
	for _, fake := range fakes {
		requests := len(fake.Requests("/v1/completions"))
		if requests != 2*3*3 {
			t.Errorf("a server saw %d requests, want 3 a round", requests)
		}
	}
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	fake := openaitest.New(t, openaitest.Options{Vocab: 384})
	base := []string{"--model", example + "policy", "--data", example + "heldout.jsonl", "--prompts", "2", "--n", "1", "--max-tokens", "2", "--gap", "0"}
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"no such server", []string{"--server", "a=http://127.0.0.1:1"}, "a: "},
		{"too few problems", []string{"--server", "a=" + fake.URL, "--prompts", "201"}, "has 200 problems, a round needs 201"},
		{"a Python that ends at once", []string{"--transformers", fakePython(t, "exit 1")}, "did not start: the process ended"},
		{"a Python that babbles", []string{"--transformers", fakePython(t, "echo hello")}, `"hello\n"`},
		{"a Python that ends halfway", []string{"--transformers", fakePython(t, `echo '{"tokens":0}'; read line`)}, "the process ended"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := run(t.Context(), append(base, tc.args...), &bytes.Buffer{}, &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

// A round's prompts are the next of the dataset, its seeds its own.
func TestRoundsDiffer(t *testing.T) {
	w := workload{prompts: 60, n: 2, maxTokens: 4, seed: 1}
	if err := w.load(t.Context(), example+"policy", example+"heldout.jsonl"); err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	for round := range 4 {
		for i, r := range w.round(round, true) {
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
			if seen[r.Seed] {
				t.Fatalf("round %d, prompt %d: a seed that was used before", round, i)
			}
			seen[r.Seed] = true
			if want := w.rows[(60*round+i)%200].PromptTokenIDs; &r.PromptTokenIDs[0] != &want[0] {
				t.Fatalf("round %d, prompt %d is another than the dataset's", round, i)
			}
		}
	}
	if again := w.round(3, false); !seen[again[0].Seed] || again[0].Params.Logprobs {
		t.Error("without log-probs a round must have the same seeds")
	}
}
