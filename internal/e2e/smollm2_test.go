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

// justrl's float32 is held to transformers in float64, and may be no further
// from it than a small multiple of what transformers' own float32 is.
func TestSmolLM2LogprobsAsTransformers(t *testing.T) {
	dir := smollm2(t)
	seqs, likely := smollm2Sequences(t, loadTokenizer(t, dir))
	type question struct {
		ID       int     `json:"id"`
		TokenIDs []int32 `json:"token_ids"`
	}
	type answer struct{ Float32, Float64 []float64 }
	var questions []question
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for i, ids := range seqs {
		questions = append(questions, question{i, ids})
		if err := enc.Encode(questions[i]); err != nil {
			t.Fatal(err)
		}
	}
	tmp := t.TempDir()
	in, out := filepath.Join(tmp, "in.jsonl"), filepath.Join(tmp, "out.jsonl")
	if err := os.WriteFile(in, lines.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "logprobs", "--model", dir, "--in", in, "--out", out)
	got := readLines[struct{ Logprobs []float64 }](t, content(t, out))

	var with32, text, with64, theirs difference
	for i, want := range askTransformers[question, answer](t, dir, questions) {
		if len(got[i].Logprobs) != len(want.Float64) {
			t.Fatalf("sequence %d: %d log-probs, want %d", i, len(got[i].Logprobs), len(want.Float64))
		}
		for j, x := range got[i].Logprobs {
			with32.add(x, want.Float32[j])
			if i < likely {
				text.add(x, want.Float32[j])
			}
			with64.add(x, want.Float64[j])
			theirs.add(want.Float32[j], want.Float64[j])
		}
	}
	t.Logf("justrl − transformers float32: %v", with32)
	t.Logf("  without the random sequences: %v", text)
	t.Logf("justrl − transformers float64: %v", with64)
	t.Logf("transformers float32 − float64: %v", theirs)
	if with64.max > 3*theirs.max || with64.sum > 2*theirs.sum || with64.max > 2e-4 {
		t.Errorf("justrl is %v from float64, transformers in float32 %v", with64, theirs)
	}
}
