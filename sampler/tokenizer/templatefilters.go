package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// templateFilters are the engine's filters with those replaced that work on
// text in another way than Jinja's, and those missing that do and that no chat
// template has a use for: a template that names one of these gets an error.
func templateFilters() (*exec.FilterSet, error) {
	filters := exec.NewFilterSet(map[string]exec.FilterFunction{}).Update(builtins.Filters)
	for _, name := range []string{"center", "filesizeformat", "pprint", "random", "striptags", "truncate", "urlize", "wordwrap", "xmlattr"} {
		unsupported := func(*exec.Evaluator, *exec.Value, *exec.VarArgs) *exec.Value {
			return exec.AsValue(fmt.Errorf("the filter %q is not supported", name))
		}
		if err := filters.Replace(name, unsupported); err != nil {
			return nil, err
		}
	}
	for name, f := range map[string]exec.FilterFunction{
		"tojson": toJSON,
		"trim": textFilter(0, []string{"chars"}, func(s string, a *arguments) any {
			return pyStrip(s, a.text(0))
		}),
		"indent": textFilter(0, []string{"width", "first", "blank"}, func(s string, a *arguments) any {
			return indent(s, a.indention(0), a.truth(1), a.truth(2))
		}),
		"replace": textFilter(2, []string{"s", "new", "count"}, func(s string, a *arguments) any {
			return strings.Replace(s, a.must(0), a.must(1), a.number(2, -1))
		}),
		"wordcount": textFilter(0, nil, func(s string, _ *arguments) any {
			return len(strings.FieldsFunc(s, func(r rune) bool { return !pyWordChar(r) }))
		}),
		"upper":      textFilter(0, nil, func(s string, _ *arguments) any { return pyUpper(s) }),
		"lower":      textFilter(0, nil, func(s string, _ *arguments) any { return pyLower(s) }),
		"capitalize": textFilter(0, nil, func(s string, _ *arguments) any { return pyCapitalize(s) }),
		"title":      textFilter(0, nil, func(s string, _ *arguments) any { return titleWords(s) }),
		"int":        numberFilter("int"),
		"float":      numberFilter("float"),
		"reverse":    reverse,
	} {
		if err := filters.Replace(name, f); err != nil {
			return nil, err
		}
	}
	return filters, nil
}

// textFilter makes a filter of a function of text. Of what is not text it
// takes what Python's str() and the engine spell alike: numbers.
func textFilter(required int, params []string, call func(s string, a *arguments) any) exec.FilterFunction {
	return func(_ *exec.Evaluator, in *exec.Value, args *exec.VarArgs) *exec.Value {
		if in.IsError() {
			return in
		}
		if !in.IsString() && !in.IsInteger() {
			return exec.AsValue(fmt.Errorf("%s is not a string", in.String()))
		}
		a, err := take(args, required, params...)
		if err != nil {
			return exec.AsValue(err)
		}
		out := call(in.String(), a)
		if a.err != nil {
			return exec.AsValue(a.err)
		}
		return exec.AsValue(out)
	}
}

// numberFilter is the engine's filter of that name, for numbers as Python reads them.
func numberFilter(name string) exec.FilterFunction {
	engine, _ := builtins.Filters.Get(name)
	return func(e *exec.Evaluator, in *exec.Value, args *exec.VarArgs) *exec.Value {
		if in.IsString() {
			in = exec.AsValue(pyNumber(in.String()))
		}
		return engine(e, in, args)
	}
}

// reverse is the engine's, by characters for a string.
func reverse(e *exec.Evaluator, in *exec.Value, args *exec.VarArgs) *exec.Value {
	if !in.IsString() {
		engine, _ := builtins.Filters.Get("reverse")
		return engine(e, in, args)
	}
	var out strings.Builder
	for s := in.String(); s != ""; {
		_, n := utf8.DecodeLastRuneInString(s)
		out.WriteString(s[len(s)-n:])
		s = s[:len(s)-n]
	}
	return exec.AsValue(out.String())
}

// indention is the text of indent's width: a number of blanks, or a text.
func (a *arguments) indention(i int) string {
	switch v := a.values[i]; {
	case v == nil:
		return "    "
	case v.IsString():
		return v.String()
	default:
		return strings.Repeat(" ", max(0, a.number(i, 4)))
	}
}

// indent is Jinja's: every line but the first and, unless blank, the empty ones.
func indent(s, with string, first, blank bool) string {
	lines := pySplitLines(s+"\n", false)
	for i, line := range lines {
		if i > 0 && (blank || line != "") {
			lines[i] = with + line
		}
	}
	if first {
		lines[0] = with + lines[0]
	}
	return strings.Join(lines, "\n")
}

// titleWords is Jinja's title: a word begins after white space, a dash or an
// opening bracket.
func titleWords(s string) string {
	between := func(r rune) bool { return pySpace(r) || strings.ContainsRune("-({[<", r) }
	var out strings.Builder
	for s != "" {
		end := strings.IndexFunc(s, between)
		if end < 0 {
			end = len(s)
		}
		if _, n := utf8.DecodeRuneInString(s[:end]); n > 0 {
			out.WriteString(pyUpper(s[:n]) + pyLower(s[n:end]))
		}
		s = s[end:]
		next := strings.IndexFunc(s, func(r rune) bool { return !between(r) })
		if next < 0 {
			next = len(s)
		}
		out.WriteString(s[:next])
		s = s[next:]
	}
	return out.String()
}

// toJSON is transformers' tojson: Python's json.dumps with ensure_ascii=False,
// which, unlike Jinja's own, escapes nothing for HTML.
func toJSON(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	if len(params.Args) > 0 || len(params.KwArgs) > 0 {
		return exec.AsValue(errors.New("tojson with arguments is not supported"))
	}
	out, err := pyJSON(in.Interface())
	if err != nil {
		return exec.AsValue(fmt.Errorf("tojson: %w", err))
	}
	return exec.AsSafeValue(out)
}
