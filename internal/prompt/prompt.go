// Package prompt fills in the texts that users write for models: prompt
// templates, a data set's instruction, a judge's message. All have one form: a
// word in double braces stands for what it names, {{question}} for the question,
// and the rest is text/template's, so that {{if choices}} … {{end}} holds what a
// problem without choices has no need of. Single braces are text: LaTeX is full
// of them.
package prompt

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

// Template is a text with places. It is safe for concurrent use.
type Template struct {
	Text  string // as it was written
	words []string
	t     *template.Template
}

// Parse reads a text with places for some words; name is for errors, a file's
// path or "" for a text without one. A place in single braces is an error, unless it
// is LaTeX's, as in \text{question} and x_{question}.
func Parse(name, text string, words ...string) (*Template, error) {
	at := func(line string) string {
		if name == "" {
			return "line " + line
		}
		return name + ":" + line
	}
	for _, w := range words {
		single := regexp.MustCompile(`(?:^|[^\pL{}_^])(\{` + w + `\})(?:[^}]|$)`)
		if m := single.FindStringSubmatchIndex(text); m != nil {
			line := strconv.Itoa(1 + strings.Count(text[:m[2]], "\n"))
			return nil, fmt.Errorf("%s: {%s} is not filled in: write {{%s}}", at(line), w, w)
		}
	}
	t := &Template{Text: text, words: words}
	var err error
	if t.t, err = template.New("").Funcs(t.values(nil)).Parse(text); err != nil {
		return nil, fmt.Errorf("%s (there are {{%s}}; {{\"{{\"}} gives two braces)", at(strings.TrimPrefix(err.Error(), "template: :")), strings.Join(words, "}}, {{"))
	}
	for _, values := range t.probes() {
		if _, err := t.Fill(values); err != nil { // says what a user of it would be told later
			return nil, fmt.Errorf("%s", at(strings.TrimPrefix(err.Error(), "template: :")))
		}
	}
	return t, nil
}

// Fill puts values, by their words, in their places; a word without one is empty.
func (t *Template) Fill(values map[string]string) (string, error) {
	own, err := t.t.Clone() // functions belong to a template: one each, so that two callers do not meet
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = own.Funcs(t.values(values)).Execute(&b, struct{}{}) // of no fields: {{.Question}} is an error
	return b.String(), err
}

func (t *Template) values(values map[string]string) template.FuncMap {
	f := template.FuncMap{}
	for _, w := range t.words {
		f[w] = func() string { return values[w] }
	}
	return f
}

// Holds tells whether the value of a word is always there, be the others empty or not.
func (t *Template) Holds(word string) bool {
	for _, values := range t.probes() {
		values[word] = probe(word)
		if got, err := t.Fill(values); err != nil || !strings.Contains(got, probe(word)) {
			return false
		}
	}
	return true
}

// Plain tells that there are no places: every filling gives the same text.
func (t *Template) Plain() bool {
	first, err := t.Fill(nil)
	for _, values := range t.probes() {
		if got, fillErr := t.Fill(values); err != nil || fillErr != nil || got != first {
			return false
		}
	}
	return true
}

// probes are values that no text has, for each choice of words.
func (t *Template) probes() []map[string]string {
	all := make([]map[string]string, 1<<len(t.words))
	for i := range all {
		all[i] = map[string]string{}
		for j, w := range t.words {
			if i>>j&1 == 1 {
				all[i][w] = probe(w)
			}
		}
	}
	return all
}

func probe(word string) string { return "\x00" + word + "\x00" }
