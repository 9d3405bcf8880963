package tokenizer

import (
	"bytes"
	"testing"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// TestStringsInTemplatesAsPython renders every method and filter on strings
// that templates can reach, with texts full of white space and of what only
// looks like it, and compares with what transformers rendered.
func TestStringsInTemplatesAsPython(t *testing.T) {
	lines := goldenLines(t, "strings.jsonl.gz")
	texts, _ := field[[]string](t, lines[0], "texts")
	for _, line := range lines[1:] {
		source, _ := field[string](t, line, "template")
		want, _ := field[[]*string](t, line, "results")
		t.Run(source, func(t *testing.T) {
			parsed, err := parseTemplate(source)
			if err != nil {
				t.Fatal(err)
			}
			for i, text := range texts {
				var out bytes.Buffer
				err := parsed.Execute(&out, exec.NewContext(map[string]any{"s": text}))
				switch {
				case want[i] == nil && err == nil:
					t.Errorf("s = %q: got %q, Python raises", text, out.String())
				case want[i] != nil && err != nil:
					t.Errorf("s = %q: %v, want %q", text, err, *want[i])
				case want[i] != nil && out.String() != *want[i]:
					t.Errorf("s = %q: got %q, want %q", text, out.String(), *want[i])
				}
			}
		})
	}
}
