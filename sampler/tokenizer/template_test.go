package tokenizer

import (
	"slices"
	"strings"
	"testing"
)

func TestRenderAsTransformers(t *testing.T) {
	toks := map[string]*Tokenizer{}
	for _, kind := range kinds {
		toks[kind] = loadKind(t, kind)
	}
	for _, line := range goldenLines(t, "chat.jsonl") {
		kind, _ := field[string](t, line, "kind")
		name, _ := field[string](t, line, "name")
		msgs, _ := field[[]Message](t, line, "messages")
		generate, _ := field[bool](t, line, "generate")
		if generate {
			name += "+generate"
		}
		t.Run(kind+"/"+name, func(t *testing.T) {
			got, err := toks[kind].Render(msgs, generate)
			if refusal, ok := field[string](t, line, "error"); ok {
				if err == nil || !strings.Contains(err.Error(), refusal) {
					t.Fatalf("error %v, want the template's own: %s (text %q)", err, refusal, got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want, _ := field[string](t, line, "text"); got != want {
				t.Fatalf("rendered\n%q\nwant\n%q", got, want)
			}
			if want, _ := field[[]int32](t, line, "ids"); !slices.Equal(toks[kind].Encode(got), want) {
				t.Errorf("ids %v, want %v", toks[kind].Encode(got), want)
			}
		})
	}
}
