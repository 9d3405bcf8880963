//go:build torch && smollm2

package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/justrl/justrl/sampler/tokenizer"
)

// A real pretrained model (scripts/smollm2 makes its folder), and transformers
// to tell what is right. `make test-smollm2` runs these.

func smollm2(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("JUSTRL_SMOLLM2")
	if dir == "" {
		t.Fatal("JUSTRL_SMOLLM2 is not set: run these tests by make test-smollm2")
	}
	return dir
}

// askTransformers gives the answer to each question, in order.
func askTransformers[Q, A any](t *testing.T, dir string, questions []Q) []A {
	t.Helper()
	python := os.Getenv("JUSTRL_PYTHON")
	if python == "" {
		t.Fatal("JUSTRL_PYTHON is not set to a Python with transformers: run these tests by make test-smollm2")
	}
	var in, out, log bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, q := range questions {
		if err := enc.Encode(q); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "smollm2_oracle.py"), dir)
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "TRANSFORMERS_VERBOSITY=error", "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	answers := readLines[A](t, out.Bytes())
	if len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions\n%s", len(answers), len(questions), log.String())
	}
	return answers
}

func loadTokenizer(t *testing.T, dir string) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// goldenTexts are those that the tokenizer's own tests use (well-formed ones).
func goldenTexts(t *testing.T) []string {
	t.Helper()
	f, err := os.Open("../../sampler/tokenizer/testdata/texts.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Text *string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Text != nil {
			texts = append(texts, *line.Text)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return texts
}

func TestSmolLM2TokenizerAsTransformers(t *testing.T) {
	dir := smollm2(t)
	tok := loadTokenizer(t, dir)
	type question struct {
		Text string `json:"text"`
	}
	type answer struct {
		TokenIDs []int32 `json:"token_ids"`
		Decoded  string
	}
	var questions []question
	for _, text := range goldenTexts(t) {
		questions = append(questions, question{text})
	}
	if len(questions) < 300 {
		t.Fatalf("only %d texts", len(questions))
	}
	equal, tokens := 0, 0
	for i, want := range askTransformers[question, answer](t, dir, questions) {
		got := tok.Encode(questions[i].Text)
		if !slices.Equal(got, want.TokenIDs) {
			t.Errorf("Encode(%q)\n got %v\nwant %v", questions[i].Text, got, want.TokenIDs)
			continue
		}
		if got := tok.Decode(want.TokenIDs, false); got != want.Decoded {
			t.Errorf("Decode(%v) = %q, want %q", want.TokenIDs, got, want.Decoded)
			continue
		}
		equal, tokens = equal+1, tokens+len(got)
	}
	t.Logf("%d of %d texts equal, %d tokens", equal, len(questions), tokens)
}

// The weights make sense only if they were read and put in order rightly.
func TestSmolLM2Answers(t *testing.T) {
	dir := smollm2(t)
	tok := loadTokenizer(t, dir)
	type question struct {
		Question string `json:"question"`
	}
	type answer struct{ Prompt, Answer string }
	questions := []question{{"What is 7 + 5?"}, {"What is the capital of France?"}, {"Who wrote Romeo and Juliet?"}}
	wants := []string{"12", "Paris", "Shakespeare"}
	for i, got := range askTransformers[question, answer](t, dir, questions) {
		t.Logf("%s → %q", questions[i].Question, got.Answer)
		if !strings.Contains(strings.ToLower(got.Answer), strings.ToLower(wants[i])) {
			t.Errorf("%s: %q does not say %s", questions[i].Question, got.Answer, wants[i])
		}
		prompt, err := tok.Render([]tokenizer.Message{{Role: "user", Content: questions[i].Question}}, true)
		if err != nil {
			t.Fatal(err)
		}
		if prompt != got.Prompt {
			t.Errorf("rendered %q, transformers %q", prompt, got.Prompt)
		}
	}
}

// smollm2Sequences are answered chats, prose, and token ids at random, which
// nothing predicts. likely counts those before the random ones.
func smollm2Sequences(t *testing.T, tok *tokenizer.Tokenizer) (seqs [][]int32, likely int) {
	t.Helper()
	for i := range 8 {
		a, b := 17*i+3, 29*i+8
		prompt, err := tok.Prompt(fmt.Sprintf("What is %d + %d? Put the answer within \\boxed{}.", a, b))
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, append(prompt, tok.Encode(fmt.Sprintf("%d + %d = \\boxed{%d}<|im_end|>", a, b, a+b))...))
	}
	for _, name := range []string{"../../docs/architecture.md", "../../docs/formulas.md", "../../README.md", "../../LICENSE"} {
		ids := tok.Encode(string(content(t, name)))
		seqs = append(seqs, ids[:300])
	}
	likely = len(seqs)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		ids := make([]int32, 2+rng.IntN(100))
		for j := range ids {
			ids[j] = rng.Int32N(int32(tok.Vocab()))
		}
		seqs = append(seqs, ids)
	}
	return seqs, likely
}

// difference of log-probs in nats.
type difference struct {
	max, sum float64
	n        int
}

func (d *difference) add(a, b float64) {
	x := math.Abs(a - b)
	d.max, d.sum, d.n = max(d.max, x), d.sum+x, d.n+1
}

func (d difference) String() string {
	return fmt.Sprintf("max %.2g, mean %.2g nats over %d tokens", d.max, d.sum/float64(d.n), d.n)
}

// held is log-probs of justrl's beside transformers' in both precisions.
type held struct{ with32, text, with64, theirs difference }

type scoreQuestion struct {
	ID       int     `json:"id"`
	TokenIDs []int32 `json:"token_ids"`
}

// holdTo compares got, the log-probs of each sequence but its first token; the
// first `likely` sequences are such that a model could have written.
func holdTo[F float32 | float64](t *testing.T, dir string, seqs [][]int32, likely int, got [][]F) (h held) {
	t.Helper()
	type answer struct{ Float32, Float64 []float64 }
	var questions []scoreQuestion
	for i, ids := range seqs {
		questions = append(questions, scoreQuestion{i, ids})
	}
	for i, want := range askTransformers[scoreQuestion, answer](t, dir, questions) {
		if len(got[i]) != len(want.Float64) {
			t.Fatalf("sequence %d: %d log-probs, want %d", i, len(got[i]), len(want.Float64))
		}
		for j, x := range got[i] {
			h.with32.add(float64(x), want.Float32[j])
			if i < likely {
				h.text.add(float64(x), want.Float32[j])
			}
			h.with64.add(float64(x), want.Float64[j])
			h.theirs.add(want.Float32[j], want.Float64[j])
		}
	}
	t.Logf("justrl − transformers float32: %v", h.with32)
	t.Logf("  without the random sequences: %v", h.text)
	t.Logf("justrl − transformers float64: %v", h.with64)
	t.Logf("transformers float32 − float64: %v", h.theirs)
	return h
}

// justrl's float32 is held to transformers in float64, and may be no further
// from it than a small multiple of what transformers' own float32 is.
func (h held) check(t *testing.T) {
	t.Helper()
	if h.with64.max > 3*h.theirs.max || h.with64.sum > 2*h.theirs.sum || h.with64.max > 2e-4 {
		t.Errorf("justrl is %v from float64, transformers in float32 %v", h.with64, h.theirs)
	}
}

func TestSmolLM2LogprobsAsTransformers(t *testing.T) {
	dir := smollm2(t)
	seqs, likely := smollm2Sequences(t, loadTokenizer(t, dir))
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for i, ids := range seqs {
		if err := enc.Encode(scoreQuestion{i, ids}); err != nil {
			t.Fatal(err)
		}
	}
	tmp := t.TempDir()
	in, out := filepath.Join(tmp, "in.jsonl"), filepath.Join(tmp, "out.jsonl")
	if err := os.WriteFile(in, lines.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "logprobs", "--model", dir, "--in", in, "--out", out)
	var got [][]float64
	for _, line := range readLines[struct{ Logprobs []float64 }](t, content(t, out)) {
		got = append(got, line.Logprobs)
	}
	holdTo(t, dir, seqs, likely, got).check(t)
}

// The embedded server's log-probs, of what it drew itself and of fixed
// sequences, over HTTP.
func TestSmolLM2EmbeddedServerAsTransformers(t *testing.T) {
	for name, dir := range map[string]string{"SmolLM2": smollm2(t), "shipped policy": policy} {
		t.Run(name, func(t *testing.T) {
			url := embeddedServer(t, "--model", dir, "--served-model-name", "m", "--max-model-len", "1024", "--kv-cache-mib", "256")
			tok := loadTokenizer(t, dir)
			c := client(t)
			var seqs [][]int32
			var got [][]float64
			for i := range 6 {
				prompt, err := tok.Prompt(fmt.Sprintf("What is %d + %d?", 13*i+4, 7*i+9))
				if err != nil {
					t.Fatal(err)
				}
				ids, err := json.Marshal(prompt)
				if err != nil {
					t.Fatal(err)
				}
				status, reply, err := post(t.Context(), c, url+"/v1/completions", fmt.Sprintf(
					`{"model":"m","prompt":%s,"n":2,"seed":%d,"max_tokens":60,"temperature":1,"top_p":1,"top_k":-1,"logprobs":0,"prompt_logprobs":0,"return_token_ids":true}`, ids, i))
				if err != nil || status != 200 {
					t.Fatalf("%d %s %v", status, reply, err)
				}
				for _, choice := range decodeScored(t, reply) {
					seqs, got = append(seqs, slices.Concat(prompt, choice.TokenIDs)), append(got, choice.all(t, prompt))
				}
			}
			h := holdTo(t, dir, seqs, len(seqs), got)
			h.check(t)
			if h.with32.max > 1e-5+2*h.theirs.max {
				t.Errorf("justrl is %v from transformers in float32", h.with32)
			}
		})
	}
}

// scoredChoice is an answer with the log-probs of its tokens and of the prompt's.
type scoredChoice struct {
	TokenIDs []int32 `json:"token_ids"`
	Logprobs struct {
		TokenLogprobs []float64 `json:"token_logprobs"`
	} `json:"logprobs"`
	PromptLogprobs []map[string]struct{ Logprob float64 } `json:"prompt_logprobs"`
}

func decodeScored(t *testing.T, reply []byte) []scoredChoice {
	t.Helper()
	var v struct{ Choices []scoredChoice }
	if err := json.Unmarshal(reply, &v); err != nil {
		t.Fatal(err)
	}
	return v.Choices
}

// all are the log-probs of prompt and answer, but for the first token.
func (c scoredChoice) all(t *testing.T, prompt []int32) []float64 {
	t.Helper()
	var out []float64
	for i, id := range prompt[1:] {
		entry, ok := c.PromptLogprobs[i+1][fmt.Sprint(id)]
		if !ok {
			t.Fatalf("prompt_logprobs[%d] lacks token %d", i+1, id)
		}
		out = append(out, entry.Logprob)
	}
	return append(out, c.Logprobs.TokenLogprobs...)
}
