package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestStringsAreTheVocabularys compares with what the file says of every id.
func TestStringsAreTheVocabularys(t *testing.T) {
	for _, name := range []string{"qwen2", "llama3", "smollm2"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", name)
			b, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
			if err != nil {
				t.Fatal(err)
			}
			var file struct {
				Model struct{ Vocab map[string]int32 }
				Added []struct {
					ID      int32
					Content string
				} `json:"added_tokens"`
			}
			if err := json.Unmarshal(b, &file); err != nil {
				t.Fatal(err)
			}
			want, longest := map[int32]string{}, 0
			for s, id := range file.Model.Vocab {
				want[id] = s
			}
			for _, a := range file.Added {
				want[a.ID] = a.Content
			}
			tok, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			for id, s := range want {
				longest = max(longest, utf8.RuneCountInString(s))
				if got := tok.Strings([]int32{id})[0]; got != s {
					t.Errorf("%d is %q, want %q", id, got, s)
				}
			}
			if got := tok.MaxTokenChars(); got != longest {
				t.Errorf("the longest token has %d characters, want %d", got, longest)
			}
			if got := tok.Strings([]int32{-1, int32(tok.Vocab()) + 5}); strings.Join(got, "") != "" {
				t.Errorf("ids without a token are %q", got)
			}
		})
	}
}

func TestRenderWithVariables(t *testing.T) {
	parsed, err := parseTemplate(`{{ style }}|{{ messages[0].content }}|{{ add_generation_prompt }}|{{ eos_token }}`)
	if err != nil {
		t.Fatal(err)
	}
	tok := &Tokenizer{template: &template{path: "test", parsed: parsed, special: map[string]string{"eos_token": "</s>"}}}
	got, err := tok.RenderWith([]Message{{Role: "user", Content: "a"}}, true, map[string]any{"style": "short", "messages": "x", "add_generation_prompt": false})
	if want := "short|a|True|</s>"; err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}
