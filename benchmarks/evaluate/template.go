package evaluate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/internal/prompt"
	"github.com/justrl/justrl/sampler/dataset"
)

// Template makes the user's message of a question. It is safe for concurrent use.
type Template struct {
	Name string // of the cells that use it, and of their folder; "" is the paper's
	Text string // as it was read; "" is the paper's
	t    *prompt.Template
}

// PaperName is what the paper's template is called where templates are listed.
const PaperName = "paper"

// ReadTemplate reads a file that holds {{question}} (see package prompt). White
// space around it does not count. Its name is the file's without the ending.
func ReadTemplate(path string) (Template, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Template{}, err
	}
	text := strings.TrimSpace(string(b))
	base := filepath.Base(path)
	name := strings.TrimSuffix(base, filepath.Ext(base))
	t, err := prompt.Parse(path, text, "question")
	switch {
	case err != nil:
		return Template{}, err
	case !t.Holds("question"):
		return Template{}, fmt.Errorf("%s: does not hold {{question}}", path)
	case name == "" || name[0] == '.' || name == PaperName:
		return Template{}, fmt.Errorf("%s: a template's name is its file's without the ending, which cannot be %q", path, name)
	}
	return Template{Name: name, Text: text, t: t}, nil
}

// Prompt is the message of a question.
func (t Template) Prompt(question string) (string, error) {
	if t.t == nil {
		return dataset.EvaluationPrompt(question), nil
	}
	return t.t.Fill(map[string]string{"question": question})
}

// message is the user's message of a problem: the set's own, if it has one and no
// other template was asked for.
func (t Template) message(p benchmarks.Problem) (string, error) {
	if t.t == nil && p.Message != "" {
		return p.Message, nil
	}
	return t.Prompt(p.Question)
}

// Title is the name to show.
func (t Template) Title() string {
	if t.Name == "" {
		return PaperName
	}
	return t.Name
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
