package judge

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/template"
)

//go:embed prompt.txt
var prompt string

// Template is the message that a judge is sent. It is safe for concurrent use.
type Template struct {
	Text string // as it was read
	t    *template.Template
}

// pair is what a template is filled with.
type pair struct{ question, truth, response string }

// Default is the paper's criteria in our own words.
func Default() *Template {
	t, err := Parse("the built-in template", prompt)
	if err != nil {
		panic(err) // it is a part of the program
	}
	return t
}

// Read parses a file; see [Parse].
func Read(path string) (*Template, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, string(b))
}

// Parse makes a template of text: {{question}}, {{truth}} and {{response}} are
// filled in, the last two of which it must have; the rest is text/template's, so that
// {{if question}} … {{end}} holds what an empty question has no need of. name
// is for errors.
func Parse(name, text string) (*Template, error) {
	t, err := template.New(name).Funcs(fill(pair{})).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s (there are {{question}}, {{truth}} and {{response}})", strings.TrimPrefix(err.Error(), "template: "))
	}
	tpl := &Template{Text: text, t: t}
	const truth, response = "\x00truth\x00", "\x00response\x00"
	for _, question := range []string{"", "a question"} {
		got, err := tpl.Render(question, truth, response)
		if err == nil && (!strings.Contains(got, truth) || !strings.Contains(got, response)) {
			err = errors.New("a judge needs both {{truth}} and {{response}}")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return tpl, nil
}

// Render fills the template in.
func (t *Template) Render(question, truth, response string) (string, error) {
	var b strings.Builder
	err := t.render(&b, pair{question, truth, response})
	return b.String(), err
}

func (t *Template) render(w io.Writer, p pair) error {
	own, err := t.t.Clone() // functions belong to a template: one each, so that renderings do not meet
	if err != nil {
		return err
	}
	return own.Funcs(fill(p)).Execute(w, struct{}{}) // of no fields: {{.Question}} is an error
}

func fill(p pair) template.FuncMap {
	return template.FuncMap{
		"question": func() string { return p.question },
		"truth":    func() string { return p.truth },
		"response": func() string { return p.response },
	}
}
