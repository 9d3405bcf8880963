package tokenizer

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const plainTemplate = `{%- for m in messages %}{{- '<s>' + m['content'] }}{%- endfor %}`

func trained(t *testing.T, corpus []string, vocab int) (*Tokenizer, string) {
	t.Helper()
	dir := t.TempDir()
	o := TrainOptions{Vocab: vocab, Special: []string{"<pad>", "<s>", "</s>"}, EOS: "</s>", Pad: "<pad>", Template: plainTemplate}
	if err := Train(dir, corpus, o); err != nil {
		t.Fatal(err)
	}
	tok, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok, dir
}

// By hand: "ab" is in the corpus 5 times, " ab" 3 times of it, "cd" 3 times; of
// the two that are equally frequent the lower goes first. (The space is Ġ.)
func TestMergesByHand(t *testing.T) {
	words := countWords([]string{"ab ab ab", "ab", "cd", " ab cd", "cd"})
	got, err := learnMerges(words, 4)
	if err != nil {
		t.Fatal(err)
	}
	want := [][2]string{{"a", "b"}, {"c", "d"}, {"Ġ", "ab"}, {"Ġ", "cd"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestTrainedTokenizer(t *testing.T) {
	corpus := []string{"the sum of 12 and 34 is 46", "the sum of 5 and 7 is 12", "the answer is the sum"}
	tok, dir := trained(t, corpus, 270)
	if tok.Vocab() != 270 || !slices.Equal(tok.EOS(), []int32{269}) {
		t.Errorf("%d ids, end of sequence %v; want 270 and [269]", tok.Vocab(), tok.EOS())
	}
	for _, text := range append(corpus, "", "Größe 東京 🙂 \x00", "unseen words 98765") {
		if got := tok.Decode(tok.Encode(text), false); got != text {
			t.Errorf("%q came back as %q", text, got)
		}
	}
	if n := len(tok.Encode("the sum")); n >= len("the sum") {
		t.Errorf("%d tokens for what the corpus is full of: nothing was merged", n)
	}
	if ids := tok.Encode("12"); len(ids) != 2 {
		t.Errorf("12 is %v: digits stand alone in Qwen2's pipeline", ids)
	}
	prompt, err := tok.Prompt("hi")
	if want := append([]int32{268}, tok.Encode("hi")...); err != nil || !slices.Equal(prompt, want) {
		t.Errorf("prompt %v, %v; want %v", prompt, err, want)
	}
	_, again := trained(t, corpus, 270)
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} {
		a, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(again, name)); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s is another the second time (%v)", name, err)
		}
	}
}

// A corpus that runs out of pairs gives a smaller vocabulary, not an error.
func TestTrainStopsEarly(t *testing.T) {
	if tok, _ := trained(t, []string{"ab"}, 400); tok.Vocab() != 256+1+3 {
		t.Errorf("%d ids of a corpus with one pair", tok.Vocab())
	}
}

func TestTrainRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    TrainOptions
		want string
	}{
		{"no room", TrainOptions{Vocab: 256, Special: []string{"<e>"}, EOS: "<e>", Pad: "<e>"}, "no room"},
		{"an end that is not special", TrainOptions{Vocab: 300, Special: []string{"<e>"}, EOS: "<f>", Pad: "<e>"}, `"<f>"`},
	} {
		dir := t.TempDir()
		if err := Train(dir, []string{"a"}, tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v", tc.name, left)
		}
	}
}
