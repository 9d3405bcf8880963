package judge

import (
	_ "embed" // the paper's criteria
	"fmt"
	"os"

	"github.com/justrl/justrl/internal/prompt"
)

//go:embed prompt.txt
var criteria string

// Template is the message that a judge is sent. It is safe for concurrent use.
type Template struct{ *prompt.Template }

// Default is the paper's criteria in our own words.
func Default() *Template {
	t, err := Parse("the built-in template", criteria)
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

// Parse makes a template of text (see package prompt): {{question}}, {{truth}} and
// {{response}} are filled in, the last two of which must always be there;
// {{if question}} … {{end}} holds what an empty question has no need of. name
// is for errors.
func Parse(name, text string) (*Template, error) {
	t, err := prompt.Parse(name, text, "question", "truth", "response")
	if err != nil {
		return nil, err
	}
	if !t.Holds("truth") || !t.Holds("response") {
		return nil, fmt.Errorf("%s: a judge needs both {{truth}} and {{response}}", name)
	}
	return &Template{t}, nil
}

// Render fills the template in.
func (t *Template) Render(question, truth, response string) (string, error) {
	return t.Fill(map[string]string{"question": question, "truth": truth, "response": response})
}
