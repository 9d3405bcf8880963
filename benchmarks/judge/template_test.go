package judge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDefaultTemplate(t *testing.T) {
	got, err := Default().Render("What is {{1 + 1}}?", `\boxed{2}`, "It is {{.}} 2.")
	if err != nil {
		t.Fatal(err)
	}
	// The parts in their order, untouched; and the paper's criteria, each by a word of it.
	at := 0
	for _, part := range []string{
		"without exception", "Only the final result counts", "equal expression", "several parts", `\boxed{}`, "breaks off", "A if", "B if", "C if",
		"[question]\nWhat is {{1 + 1}}?\n", "[official answer]\n\\boxed{2}\n", "[response]\nIt is {{.}} 2.\n",
	} {
		i := strings.Index(got[at:], part)
		if i < 0 {
			t.Fatalf("%q is missing or too early in\n%s", part, got)
		}
		at += i
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, text, err string }{
		{"the least", "{{truth}} {{response}}", ""},
		{"a question that may be empty", "{{if question}}Q: {{question}}\n{{end}}{{truth}} {{response}}", ""},
		{"no truth", "{{question}} {{response}}", "needs both"},
		{"no response", "{{truth}}", "needs both"},
		{"a response that is not always there", "{{truth}}{{if question}}{{response}}{{end}}", "needs both"},
		{"an unknown word", "x\n{{truth}} {{respons}} {{response}}", `:2: function "respons" not defined`},
		{"not closed", "{{truth", ":1: unclosed action"},
		{"a field", "{{truth}} {{response}} {{.Foo.Bar}}", "can't evaluate field Foo"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "t.txt")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			tpl, err := Read(path)
			if c.err == "" {
				if err != nil || tpl.Text != c.text {
					t.Errorf("%+v, %v", tpl, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with the file and %q", err, c.err)
			}
		})
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file was read")
	}
}
