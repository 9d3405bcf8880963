package tokenizer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

func TestRenderAsTransformers(t *testing.T) {
	toks := map[string]*Tokenizer{}
	for _, kind := range kinds {
		toks[kind] = loadKind(t, kind)
	}
	for _, line := range goldenLines(t, "chat.jsonl") {
		kind, _ := field[string](t, line, "kind")
		name, _ := field[string](t, line, "name")
		msgs, _ := field[[]Message](t, line, "messages")
		generate, _ := field[bool](t, line, "generate")
		if generate {
			name += "+generate"
		}
		t.Run(kind+"/"+name, func(t *testing.T) {
			got, err := toks[kind].Render(msgs, generate)
			if refusal, ok := field[string](t, line, "error"); ok {
				if err == nil || !strings.Contains(err.Error(), refusal) {
					t.Fatalf("error %v, want the template's own: %s (text %q)", err, refusal, got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want, _ := field[string](t, line, "text"); got != want {
				t.Fatalf("rendered\n%q\nwant\n%q", got, want)
			}
			if want, _ := field[[]int32](t, line, "ids"); !slices.Equal(toks[kind].Encode(got), want) {
				t.Errorf("ids %v, want %v", toks[kind].Encode(got), want)
			}
		})
	}
}

func TestTemplatesThatAreRefused(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"a filter that would only come near Jinja's", "{{ 'a b' | wordwrap(3) }}", `"wordwrap" is not supported`},
		{"a method that would only come near Python's", "{{ 'aB'.swapcase() }}", "unknown method 'swapcase'"},
		{"JSON of a mapping, whose order is Python's", "{{ messages[0] | tojson }}", "tojson: a map[string]interface {} is not supported"},
		{"JSON with arguments", "{{ 'a' | tojson(indent=2) }}", "tojson with arguments"},
		{"too many arguments", "{{ 'a'.strip('a', 'b') }}", "takes at most 1 arguments (2 given)"},
		{"a keyword that Python lacks", "{{ 'a'.split(by='b') }}", `unexpected keyword argument "by"`},
		{"an argument twice", "{{ 'a'.split('a', sep='b') }}", `unexpected keyword argument "sep"`},
		{"an argument too few", "{{ 'a'.replace('a') }}", `argument "new" is missing`},
		{"its own exception", "{{ raise_exception('no ' ~ messages[0].role) }}", "no user"},
		{"a range without end", "{{ range(100001) | length }}", "range is longer than 100000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			parsed, err := parseTemplate(c.source)
			if err != nil {
				t.Fatal(err)
			}
			tok := &Tokenizer{template: &template{path: "the/model/chat_template.jinja", parsed: parsed}}
			got, err := tok.Render([]Message{{Role: "user", Content: "x"}}, true)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "the/model/chat_template.jinja") {
				t.Errorf("got %q, %v; want an error with the file and %q", got, err, c.want)
			}
		})
	}
	if _, err := new(Tokenizer).Render(nil, true); err == nil || !strings.Contains(err.Error(), "add chat_template.jinja") {
		t.Errorf("without a template: %v", err)
	}
	if _, err := parseTemplate("{% if x %}"); err == nil || strings.Contains(err.Error(), "{% if x %}") {
		t.Errorf("an unclosed block: %v, want an error without the whole source", err)
	}
}

// TestRenderFromManyGoroutines is for the race detector: the engine writes
// variables back after method calls.
func TestRenderFromManyGoroutines(t *testing.T) {
	tok := loadKind(t, "llama3")
	var all errgroup.Group
	for i := range 8 {
		all.Go(func() error {
			question := fmt.Sprintf(" question %d ", i)
			for range 20 {
				got, err := tok.Render([]Message{{Role: "user", Content: question}}, true)
				if err != nil || !strings.Contains(got, "\n\n"+strings.TrimSpace(question)+"<") {
					return fmt.Errorf("rendered %q, %w", got, err)
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
}
