package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	gonja "github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string // "system", "user", "assistant" …; a template may refuse others
	Content string
}

// templateSpec is chat_template in tokenizer_config.json: a string, or a list
// of named templates of which "default" is ours.
type templateSpec string

// UnmarshalJSON takes both spellings, and null for none.
func (t *templateSpec) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '[' {
		return json.Unmarshal(b, (*string)(t))
	}
	var list []struct{ Name, Template string }
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	for _, named := range list {
		if named.Name == "default" {
			*t = templateSpec(named.Template)
			return nil
		}
	}
	return errors.New(`chat_template is a list without a "default" template`)
}

// template is a parsed chat template and the variables that every rendering sees.
type template struct {
	path    string // where it came from, for errors
	parsed  *exec.Template
	special map[string]string
}

// loadTemplate reads chat_template.jinja, which has precedence, or the
// template of tokenizer_config.json; a folder may have none.
func (t *Tokenizer) loadTemplate(dir string, c *config) error {
	path := filepath.Join(dir, "chat_template.jinja")
	source := string(c.ChatTemplate)
	raw, err := os.ReadFile(path)
	switch {
	case err == nil:
		source = string(raw)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case source == "":
		return nil
	default:
		path = filepath.Join(dir, "tokenizer_config.json")
	}
	parsed, err := parseTemplate(source)
	if err != nil {
		return fmt.Errorf("%s: chat template: %w", path, err)
	}
	t.template = &template{path: path, parsed: parsed, special: c.names()}
	return nil
}

// parseTemplate compiles a template with transformers' settings and extras.
// It cannot include files.
func parseTemplate(source string) (parsed *exec.Template, err error) {
	defer recoverTo(&err)
	const name = "/chat_template"
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	loader, err := loaders.NewMemoryLoader(map[string]string{name: source})
	if err != nil {
		return nil, err
	}
	settings := gonja.New()
	settings.TrimBlocks, settings.LeftStripBlocks = true, true
	filters, err := templateFilters()
	if err != nil {
		return nil, err
	}
	methods := builtins.Methods
	methods.Str = stringMethods()
	globals := exec.EmptyContext().Update(builtins.GlobalFunctions).Update(builtins.GlobalVariables)
	for name, f := range templateGlobals() {
		globals.Set(name, f)
	}
	parsed, err = exec.NewTemplate(name, settings, loader, &exec.Environment{
		Context: globals, Filters: filters, Tests: builtins.Tests,
		ControlStructures: builtins.ControlStructures, Methods: methods,
	})
	if err != nil { // gonja's message starts with the whole source
		return nil, errors.New(strings.Replace(err.Error(), fmt.Sprintf("failed to parse template '%s': ", source), "", 1))
	}
	return parsed, nil
}

// Render gives the prompt text of a conversation by the model's chat template,
// equal to transformers' apply_chat_template(msgs, tokenize=False). With
// addGenerationPrompt it ends where the assistant's answer starts. It is an
// error if the folder had no template, or if the template refuses the messages.
func (t *Tokenizer) Render(msgs []Message, addGenerationPrompt bool) (text string, err error) {
	return t.RenderWith(msgs, addGenerationPrompt, nil)
}

// RenderWith is Render with further variables for the template, such as
// enable_thinking; they do not replace those that every rendering sees, except
// for the special tokens' names.
func (t *Tokenizer) RenderWith(msgs []Message, addGenerationPrompt bool, variables map[string]any) (text string, err error) {
	if t.template == nil {
		return "", errors.New("render prompt: the model folder has no chat template: add chat_template.jinja, or chat_template to tokenizer_config.json")
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("render prompt: %s: %w", t.template.path, err)
		}
	}()
	defer recoverTo(&err)
	messages := make(list[map[string]any], len(msgs))
	for i, m := range msgs {
		messages[i] = map[string]any{"role": m.Role, "content": m.Content}
	}
	vars := map[string]any{"tools": nil, "documents": nil}
	for name, token := range t.template.special {
		vars[name] = token
	}
	for name, v := range variables {
		vars[name] = v
	}
	vars["messages"], vars["add_generation_prompt"] = messages, addGenerationPrompt
	var out bytes.Buffer
	if err := t.template.parsed.Execute(&out, exec.NewContext(vars)); err != nil {
		return "", err
	}
	return out.String(), nil
}

// Prompt gives the token ids of a conversation of one user message, ready for the answer.
func (t *Tokenizer) Prompt(question string) ([]int32, error) {
	text, err := t.Render([]Message{{Role: "user", Content: question}}, true)
	if err != nil {
		return nil, err
	}
	return t.Encode(text), nil
}

// recoverTo turns a panic of the template engine into an error.
func recoverTo(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("template engine: %v", r)
	}
}
