package evaluate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTemplates(t *testing.T) {
	for _, c := range []struct{ name, file, text, want, err string }{
		{"question first", "a.txt", "{{question}}\nShow it.\n", "1 {{+}} 1?\nShow it.", ""},
		{"question last", "b.tmpl", "Solve: {{question}}", "Solve: 1 {{+}} 1?", ""},
		{"LaTeX", "c.txt", `{{question}} Answer in \boxed{}.`, `1 {{+}} 1? Answer in \boxed{}.`, ""},
		{"no question", "d.txt", "Hello", "", "does not hold {{question}}"},
		{"misspelt", "e.txt", "\n{{problem}}", "", `function "problem" not defined`},
		{"a field", "f.txt", "{{question}} {{.Question}}", "", "can't evaluate field"},
		{"no name", ".txt", "{{question}}", "", "cannot be"},
		{"the paper's name", "paper.txt", "{{question}}", "", "cannot be"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, c.file, c.text)
			tpl, err := ReadTemplate(path)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want one line with the file and %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := tpl.Prompt("1 {{+}} 1?"); err != nil || got != c.want || tpl.Title() != strings.Split(c.file, ".")[0] {
				t.Errorf("%s: %q, %v, want %q", tpl.Title(), got, err, c.want)
			}
		})
	}
	paper := Template{}
	if got, err := paper.Prompt("1 + 1?"); err != nil || got != `1 + 1? Please reason step by step, and put your final answer within \boxed{}.` || paper.Title() != "paper" {
		t.Errorf("the paper's: %q, %v", got, err)
	}
	if _, err := ReadTemplate(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file was read")
	}
}
