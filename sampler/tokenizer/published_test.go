package tokenizer

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestRenderPublishedTemplates renders templates as their authors published
// them, which are not ours to keep here, in the folder JUSTRL_TEMPLATES:
// *.jinja, and what transformers makes of them, written there by
// `testdata/make_golden.py FOLDER`.
func TestRenderPublishedTemplates(t *testing.T) {
	dir := os.Getenv("JUSTRL_TEMPLATES")
	if dir == "" {
		t.Skipf("SKIPPED: set JUSTRL_TEMPLATES to a folder of chat templates that testdata/make_golden.py has seen")
	}
	f, err := os.Open(filepath.Join(dir, "expected.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	special := map[string]string{"bos_token": "<BOS>", "eos_token": "<EOS>", "pad_token": "<PAD>", "unk_token": "<UNK>"}
	toks := map[string]*Tokenizer{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var want struct {
			File, Name string
			Messages   []Message
			Generate   bool
			Text       *string // nil if the template refuses the messages
		}
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if toks[want.File] == nil {
			source, err := os.ReadFile(filepath.Join(dir, want.File))
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := parseTemplate(string(source))
			if err != nil {
				t.Fatalf("%s: %v", want.File, err)
			}
			toks[want.File] = &Tokenizer{template: &template{path: want.File, parsed: parsed, special: special}}
		}
		t.Run(want.File+"/"+want.Name, func(t *testing.T) {
			got, err := toks[want.File].Render(want.Messages, want.Generate)
			switch {
			case want.Text == nil && err == nil:
				t.Errorf("rendered %q, transformers refuses", got)
			case want.Text != nil && err != nil:
				t.Errorf("%v, want %q", err, *want.Text)
			case want.Text != nil && got != *want.Text:
				t.Errorf("rendered\n%q\nwant\n%q", got, *want.Text)
			}
		})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(toks) == 0 {
		t.Fatalf("%s has no templates", dir)
	}
}
