package prompt

import (
	"strings"
	"testing"
)

func TestFill(t *testing.T) {
	values := map[string]string{"question": `What is {{choices}} in \boxed{}?`, "choices": "A. {question}"}
	for _, c := range []struct{ name, text, want string }{
		{"a place", "Q: {{question}}\n", `Q: What is {{choices}} in \boxed{}?` + "\n"},
		{"twice, with spaces", "{{ choices }}{{choices}}", "A. {question}A. {question}"},
		{"what is there", "{{if choices}}C: {{choices}}{{end}}{{if truth}}T{{end}}", "C: A. {question}"},
		{"LaTeX", `\boxed{} \text{question} x_{choices} y^{truth} \frac{a}{choices} \{question\}`, `\boxed{} \text{question} x_{choices} y^{truth} \frac{a}{choices} \{question\}`},
		{"other words in braces", "{answer} {QUESTION}", "{answer} {QUESTION}"},
		{"double braces", `\frac{{"{{"}}a}}{b}`, `\frac{{a}}{b}`},
		{"none", "", ""},
	} {
		tpl, err := Parse("", c.text, "question", "choices", "truth")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got, err := tpl.Fill(values); err != nil || got != c.want || tpl.Text != c.text {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"single braces", "one\ntwo {question}", "x.txt:2: {question} is not filled in: write {{question}}"},
		{"at the beginning", "{choices}", "x.txt:1: {choices} is not filled in: write {{choices}}"},
		{"one of each", "{{question}}\n{choices}", "x.txt:2: {choices} is"},
		{"one after the other", "{question}{choices}", "x.txt:1: {question} is"},
		{"misspelt", "\n{{qestion}}", `x.txt:2: function "qestion" not defined (there are {{question}}, {{choices}}; {{"{{"}} gives two braces)`},
		{"LaTeX's double braces", `\frac{{a}}{b}`, `x.txt:1: function "a" not defined`},
		{"a field", "{{.Question}}", "x.txt:1:2: executing"},
		{"a field when there is something", "{{if choices}}{{.Question}}{{end}}", "can't evaluate field"},
		{"not closed", "{{question", "x.txt:1: unclosed action"},
	} {
		_, err := Parse("x.txt", c.text, "question", "choices")
		if err == nil || !strings.HasPrefix(err.Error(), "x.txt:") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", c.name, err, c.want)
		}
	}
	if _, err := Parse("", "{question}", "question"); err == nil || err.Error() != "line 1: {question} is not filled in: write {{question}}" {
		t.Errorf("without a name: %v", err)
	}
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		text         string
		holds, plain bool
	}{
		{"{{question}}", true, false},
		{"{{if choices}}x{{end}}{{question}}", true, false},
		{"{{if question}}{{question}}{{end}}", true, false},
		{"{{if choices}}{{question}}{{end}}", false, false},
		{"{{if choices}}{{else}}{{question}}{{end}}", false, false},
		{"{{choices}}", false, false},
		{"text, and {{/* a comment */}}", false, true},
		{"", false, true},
	} {
		tpl, err := Parse("", c.text, "question", "choices")
		if err != nil {
			t.Fatal(err)
		}
		if tpl.Holds("question") != c.holds || tpl.Plain() != c.plain {
			t.Errorf("%q: holds the question %t, is plain %t", c.text, tpl.Holds("question"), tpl.Plain())
		}
	}
}

// Whatever is filled in is there untouched, and nothing is filled in twice.
func FuzzFill(f *testing.F) {
	f.Add("{{question}} {{choices}}", "{{choices}}", "{question}")
	f.Add(`{{if choices}}{{choices}}{{end}}\text{question}`, "", "x")
	f.Add("{{range $i, $c := question}}{{$i}}{{end}}", "é", "")
	f.Fuzz(func(t *testing.T, text, question, choices string) {
		if strings.Contains(text, "range") || strings.Contains(text, "template") || strings.Contains(text, "define") || strings.Contains(text, "printf") {
			return // can be made to run for long; whoever writes a template waits for it
		}
		tpl, err := Parse("x", text, "question", "choices")
		if err != nil {
			return
		}
		got, err := tpl.Fill(map[string]string{"question": question, "choices": choices})
		if err != nil {
			return
		}
		if tpl.Plain() && !strings.Contains(text, "{{") && got != text {
			t.Errorf("%q became %q", text, got)
		}
		if text == "{{question}}" && got != question {
			t.Errorf("%q became %q", question, got)
		}
	})
}
