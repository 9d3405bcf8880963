package tokenizer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// stringMethods are the methods that a template can call on a string: Python's
// own, and of the engine's only those that do the same (its others strip ASCII
// alone, count in bytes, or take other arguments). A template that calls
// another gets an error, not an approximation.
func stringMethods() *exec.MethodSet[string] {
	methods := map[string]exec.Method[string]{}
	for name, m := range pythonMethods {
		methods[name] = func(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
			a, err := take(args, m.required, m.params...)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			result := m.call(self, a)
			if a.err != nil {
				return nil, fmt.Errorf("%s: %w", name, a.err)
			}
			return result, nil
		}
	}
	for _, name := range []string{"format", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isprintable", "isupper", "join"} {
		if m, ok := builtins.Methods.Str.Get(name); ok {
			methods[name] = m
		}
	}
	return exec.NewMethodSet(methods)
}

// pythonMethod is a method, the names of its parameters, and how many of them it must have.
type pythonMethod struct {
	required int
	params   []string
	call     func(s string, a *arguments) any
}

var pythonMethods = map[string]pythonMethod{
	"strip": {0, []string{"chars"}, func(s string, a *arguments) any { return pyStrip(s, a.text(0)) }},
	"lstrip": {0, []string{"chars"}, func(s string, a *arguments) any {
		return strings.TrimLeftFunc(s, pyCut(a.text(0)))
	}},
	"rstrip": {0, []string{"chars"}, func(s string, a *arguments) any {
		return strings.TrimRightFunc(s, pyCut(a.text(0)))
	}},
	"split": {0, []string{"sep", "maxsplit"}, func(s string, a *arguments) any {
		parts, err := pySplit(s, a.text(0), a.number(1, -1))
		a.fail(err)
		return list[string](parts)
	}},
	"rsplit": {0, []string{"sep", "maxsplit"}, func(s string, a *arguments) any {
		parts, err := pyRSplit(s, a.text(0), a.number(1, -1))
		a.fail(err)
		return list[string](parts)
	}},
	"splitlines": {0, []string{"keepends"}, func(s string, a *arguments) any { return list[string](pySplitLines(s, a.truth(0))) }},
	"partition": {1, []string{"sep"}, func(s string, a *arguments) any {
		before, after, found := strings.Cut(s, a.separator(0))
		if !found {
			return list[string]{s, "", ""}
		}
		return list[string]{before, a.must(0), after}
	}},
	"rpartition": {1, []string{"sep"}, func(s string, a *arguments) any {
		sep := a.separator(0)
		at := strings.LastIndex(s, sep)
		if at < 0 {
			return list[string]{"", "", s}
		}
		return list[string]{s[:at], sep, s[at+len(sep):]}
	}},
	"startswith": {1, []string{"prefix", "start", "end"}, func(s string, a *arguments) any { return a.affix(s, strings.HasPrefix) }},
	"endswith":   {1, []string{"suffix", "start", "end"}, func(s string, a *arguments) any { return a.affix(s, strings.HasSuffix) }},
	"find":       {1, []string{"sub", "start", "end"}, func(s string, a *arguments) any { return a.index(s, strings.Index) }},
	"rfind":      {1, []string{"sub", "start", "end"}, func(s string, a *arguments) any { return a.index(s, strings.LastIndex) }},
	"count": {1, []string{"sub", "start", "end"}, func(s string, a *arguments) any {
		part, _, ok := pySlice(s, a.position(1), a.position(2))
		if !ok {
			return 0
		}
		return strings.Count(part, a.must(0))
	}},
	"replace": {2, []string{"old", "new", "count"}, func(s string, a *arguments) any {
		return strings.Replace(s, a.must(0), a.must(1), a.number(2, -1))
	}},
	"removeprefix": {1, []string{"prefix"}, func(s string, a *arguments) any { return strings.TrimPrefix(s, a.must(0)) }},
	"removesuffix": {1, []string{"suffix"}, func(s string, a *arguments) any { return strings.TrimSuffix(s, a.must(0)) }},
	"ljust": {1, []string{"width", "fillchar"}, func(s string, a *arguments) any {
		return s + pyPad(s, a.number(0, 0), a.fill(1))
	}},
	"rjust": {1, []string{"width", "fillchar"}, func(s string, a *arguments) any {
		return pyPad(s, a.number(0, 0), a.fill(1)) + s
	}},
	"isspace":    {0, nil, func(s string, _ *arguments) any { return pyIsSpace(s) }},
	"upper":      {0, nil, func(s string, _ *arguments) any { return pyUpper(s) }},
	"lower":      {0, nil, func(s string, _ *arguments) any { return pyLower(s) }},
	"title":      {0, nil, func(s string, _ *arguments) any { return pyTitle(s) }},
	"capitalize": {0, nil, func(s string, _ *arguments) any { return pyCapitalize(s) }},
}

// list is a list in a template. The engine's own indexing finds nothing at
// -len, so not the last item of a list of one.
type list[T any] []T

// GetItem implements exec.ItemGetter.
func (l list[T]) GetItem(key any) (*exec.Value, bool) {
	i, ok := key.(int)
	if i < 0 {
		i += len(l)
	}
	if !ok || i < 0 || i >= len(l) {
		return exec.AsValue(nil), false
	}
	return exec.AsValue(l[i]), true
}

// arguments are those of one call, in the order of the parameters; nil where
// one was left out. Its methods keep the first error and go on with a zero.
type arguments struct {
	values []*exec.Value
	names  []string
	err    error
}

// take matches positional and keyword arguments with parameters as Python does.
func take(args *exec.VarArgs, required int, names ...string) (*arguments, error) {
	a := &arguments{values: make([]*exec.Value, len(names)), names: names}
	if len(args.Args) > len(names) {
		return nil, fmt.Errorf("takes at most %d arguments (%d given)", len(names), len(args.Args))
	}
	copy(a.values, args.Args)
	for name, v := range args.KwArgs {
		i := slices.Index(names, name)
		if i < 0 || i < len(args.Args) {
			return nil, fmt.Errorf("unexpected keyword argument %q", name)
		}
		a.values[i] = v
	}
	for i := range required {
		if a.values[i] == nil {
			return nil, fmt.Errorf("argument %q is missing", names[i])
		}
	}
	return a, nil
}

func (a *arguments) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

func (a *arguments) wrong(i int, want string) {
	a.fail(fmt.Errorf("argument %q is not %s: %s", a.names[i], want, a.values[i].String()))
}

// text is a string, nil if None or left out.
func (a *arguments) text(i int) *string {
	v := a.values[i]
	if v == nil || v.IsNil() {
		return nil
	}
	if !v.IsString() {
		a.wrong(i, "a string or none")
		return nil
	}
	s := v.String()
	return &s
}

// must is a string that must be there.
func (a *arguments) must(i int) string {
	if v := a.values[i]; v.IsString() {
		return v.String()
	}
	a.wrong(i, "a string")
	return ""
}

// separator is a string that must be there and not empty.
func (a *arguments) separator(i int) string {
	sep := a.must(i)
	if sep == "" {
		a.fail(errEmptySeparator)
	}
	return sep
}

func (a *arguments) number(i, otherwise int) int {
	v := a.values[i]
	switch {
	case v == nil:
		return otherwise
	case v.IsInteger():
		return v.Integer()
	}
	a.wrong(i, "a whole number")
	return 0
}

// position is an end of a slice, nil if None or left out.
func (a *arguments) position(i int) *int {
	if v := a.values[i]; v == nil || v.IsNil() {
		return nil
	}
	n := a.number(i, 0)
	return &n
}

func (a *arguments) truth(i int) bool { return a.values[i] != nil && a.values[i].IsTrue() }

// fill is a single character, a blank if left out.
func (a *arguments) fill(i int) string {
	if a.values[i] == nil {
		return " "
	}
	s := a.must(i)
	if len([]rune(s)) != 1 {
		a.wrong(i, "one character")
	}
	return s
}

// index is find's answer, in characters.
func (a *arguments) index(s string, find func(s, sub string) int) int {
	sub := a.must(0)
	part, from, ok := pySlice(s, a.position(1), a.position(2))
	if !ok {
		return -1
	}
	at := find(part, sub)
	if at < 0 {
		return -1
	}
	return from + len([]rune(part[:at]))
}

// affix is startswith and endswith, whose argument may be a tuple.
func (a *arguments) affix(s string, has func(s, affix string) bool) bool {
	part, _, ok := pySlice(s, a.position(1), a.position(2))
	if !a.values[0].IsList() {
		affix := a.must(0)
		return ok && has(part, affix)
	}
	found := false
	a.values[0].Iterate(func(_, _ int, v, _ *exec.Value) bool {
		if !v.IsString() {
			a.wrong(0, "a string or a tuple of strings")
		}
		found = found || ok && has(part, v.String())
		return true
	}, func() {})
	return found
}
