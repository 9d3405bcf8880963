package evaluate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/justrl/justrl/sampler/dataset"
)

// Template makes the user's message of a question. It is safe for concurrent use.
type Template struct {
	Name string // of the cells that use it, and of their folder; "" is the paper's
	Text string // as it was read; "" is the paper's
	t    *template.Template
}

// PaperName is what the paper's template is called where templates are listed.
const PaperName = "paper"

// ReadTemplate reads a file that holds {{question}} and is text/template's
// otherwise. White space around it does not count. Its name is the file's
// without the ending.
func ReadTemplate(path string) (Template, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Template{}, err
	}
	text := strings.TrimSpace(string(b))
	base := filepath.Base(path)
	name := strings.TrimSuffix(base, filepath.Ext(base))
	t, err := template.New(path).Funcs(asking("")).Parse(text)
	if err != nil {
		return Template{}, fmt.Errorf("%s (there is {{question}})", strings.TrimPrefix(err.Error(), "template: "))
	}
	tpl := Template{Name: name, Text: text, t: t}
	const probe = "\x00question\x00"
	got, err := tpl.Prompt(probe)
	switch {
	case err != nil:
		return Template{}, fmt.Errorf("%s: %w", path, err)
	case !strings.Contains(got, probe):
		return Template{}, fmt.Errorf("%s: does not hold {{question}}", path)
	case name == "" || name[0] == '.' || name == PaperName:
		return Template{}, fmt.Errorf("%s: a template's name is its file's without the ending, which cannot be %q", path, name)
	}
	return tpl, nil
}

// Prompt is the message of a question.
func (t Template) Prompt(question string) (string, error) {
	if t.t == nil {
		return dataset.EvaluationPrompt(question), nil
	}
	own, err := t.t.Clone() // functions belong to a template: one each, so that renderings do not meet
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = own.Funcs(asking(question)).Execute(&b, struct{}{}) // of no fields: {{.Question}} is an error
	return b.String(), err
}

// Title is the name to show.
func (t Template) Title() string {
	if t.Name == "" {
		return PaperName
	}
	return t.Name
}

func asking(question string) template.FuncMap {
	return template.FuncMap{"question": func() string { return question }}
}

// distinct refuses two templates of one name.
func distinct(templates []Template) error {
	seen := map[string]bool{}
	for _, t := range templates {
		if seen[strings.ToLower(t.Name)] {
			return fmt.Errorf("two prompt templates are called %s: rename a file", t.Title())
		}
		seen[strings.ToLower(t.Name)] = true
	}
	if len(templates) == 0 {
		return errors.New("no prompt template")
	}
	return nil
}
