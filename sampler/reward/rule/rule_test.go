package rule

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/justrl/justrl/sampler"
)

// TestQuirks has what the definition does that one would not expect, each found by
// reading it. Where the definition is at hand, it is asked too.
func TestQuirks(t *testing.T) {
	box := func(s string) string { return `so \boxed{` + s + `}.` }
	cases := []struct {
		name, response, truth string
		correct               bool
		how                   How
	}{
		{"the last box counts", `\boxed{7} no, \boxed{42}`, "42", true, Mathd},
		{"a mention of \\boxed hides the box before it", `\boxed{42} (in \boxed)`, "42", false, NoBox},
		{"a mention takes the next braces, and is no box", `\boxed{42}, \boxed means {final}`, "42", false, NoBox},
		{"a space before the brace is no box", `\boxed {42}`, "42", false, NoBox},
		{"an fbox is no box", `\fbox{42}`, "42", false, NoBox},
		{"a box in a box: the inner one", `\boxed{\boxed{42}}`, "42", true, Mathd},
		{"a box in a text in a box: the inner one, to its own brace", `\boxed{\text{so } \boxed{42}}`, "42", true, Mathd},
		{"an unclosed box", `\boxed{42`, "42", false, NoBox},
		{"braces escaped by a backslash are braces", `\boxed{\{1\}`, `\{1`, false, NoBox},
		{"closing braces too many", `\boxed{42}}}`, "42", true, Mathd},
		{"an empty truth is never met", `\boxed{}`, "", false, NoTruth},
		{"an empty box meets an empty boxed truth", `\boxed{}`, `\boxed{}`, true, Mathd},
		{"an empty box meets a blank truth", `\boxed{}`, " ", true, Mathd},
		{"a truth with a box that does not close is none", `\boxed{42}`, `\boxed{42`, false, NoTruth},
		{"a boxed truth", `\boxed{204}`, `\boxed{204}`, true, Mathd},
		{"an empty answer", box(""), "42", false, Shape},

		{"NEL is white space", box("\u008542\u0085"), "42", true, Mathd},
		{"FS and GS are white space to strip", box("\x1c42\x1d"), "42", true, Mathd},
		{"the no-break space too", box("42\u00a0"), "42", true, Mathd},
		{"the zero-width space is none", box("\u200b42"), "42", false, Fraction},
		{"nor is the BOM", box("\ufeff42"), "42", false, Fraction},
		{"nor NUL", box("42\x00"), "42", false, Fraction},
		{"text in one line loses its \\text", box(`\text{A}`), "A", true, Mathd},
		{"text with a line break in it keeps it", box("\\text{A\nB}"), `\text{\text{AB}}`, true, Mathd},
		{"a short left side of an equation goes", box("x=5"), "5", true, Mathd},
		{"two characters are short", box("n =5"), "5", true, Mathd},
		{"three are not", box("xyz=5"), "5", false, Fraction},
		{"two equations keep their sides", box("a=b=5"), "5", false, Fraction},
		{"a unit in text is cut off, and all behind it", box(`5\text{ cm} or so`), "5", true, Mathd},
		{"two of them raise: the text stays", box(`5\text{ a}\text{ b}`), "5", false, Fraction},
		{"a slash between integers is a fraction", box("3/4"), `\frac{3}{4}`, true, Mathd},
		{"not with a leading zero, but text that is alike", box("03/4"), `\frac{3}{4}`, false, Fraction},
		{"one half alone may be 0.5", box("0.5"), `\frac{1}{2}`, true, Mathd},
		{"a decimal point without zero gets one", box(".7"), "0.7", true, Mathd},
		{"\\sqrt without braces", box(`\sqrt3`), `\sqrt{3}`, true, Mathd},
		{"\\sqrt at the end raises in both normal forms", box(`2\sqrt`), `2\sqrt{}`, false, ""},
		{"\\frac without braces", box(`\frac12`), `\frac{1}{2}`, true, Mathd},
		{"dfrac is frac without its backslash too", box(`dfrac12`), `frac12`, true, Mathd},
		{"degrees", box(`30^\circ`), "30", true, Mathd},
		{"degrees with a space", box(`30^ \circ`), "30", true, Normalised},

		{"every $ and % goes", box("$50%"), "50", true, Normalised},
		{"and becomes a comma", box("2 and 3"), "2,3", true, Normalised},
		{"words lose their units too: days", box("sundays"), "sun", true, Normalised},
		{"million", box("5 million"), "5*10^6", true, Normalised},
		{"a unit with a power", box("5 cm ^2"), "5", true, Normalised},
		{"case does not count", box("Even"), "even", true, Normalised},
		{"capital sharp s has a small form", box("ẞ"), "ß", true, Normalised},
		{"the Kelvin sign is a k", box("K"), "k", true, Normalised},
		{"İ becomes two characters", box("İ"), "i\u0307", true, Normalised},
		{"a final sigma is another", box("ΑΣ"), "ας", true, Normalised},
		{"Arabic digits are digits", box("٤٢"), "42", true, Normalised},
		{"full-width digits too", box("４２"), "42", true, Normalised},
		{"underscores between digits", box("1_000"), "1000", true, Normalised},
		{"two underscores are none", box("1__000"), "1000", false, Fraction},
		{"scientific notation of an integer", box("1e3"), "1000", true, Normalised},
		{"a float near an integer is rounded", box("4.99999999"), "5", true, Normalised},
		{"with thousands it is cut off", box("4,999.99999999"), "4999", true, Normalised},
		{"to even", box("2.5"), "2", false, Fraction},
		{"large integers are floats", box("100000000000000000001"), "100000000000000000000", true, Normalised},
		{"infinity is no integer", box("1e999"), "5", false, Fraction},
		{"thousands", box("1,234"), "1234", true, Normalised},
		{"every other comma of thousands", box("1,234,567"), "1234567", true, Normalised},
		{"thousands with a negative space", box(`1,\!234,\!567`), "1234567", true, Normalised},
		{"four digits are no thousands", box("1,2345"), "12345", false, Fraction},
		{"spaces between digits are a sum, every other one", box("1 2 3"), "1+23", true, Normalised},
		{"a mixed number", box(`3\frac{1}{2}`), "3+1/2", true, Normalised},
		{"fractions lose their parentheses", box(`\frac{a+b}{2}`), "a+b/2", true, Normalised},
		{"\\frac with one argument writes its format", box(`\frac{7}`), "%s/%s7", false, Decided},
		{"\\mbox and what is in it go", box(`5\mbox{ cm}`), "5", true, Normalised},
		{"\\phantom goes, what is in it stays", box(`5\phantom{0}`), "50", true, Normalised},
		{"a matrix is text", box(`\begin{pmatrix}1\\22\end{pmatrix}`), `\begin{bmatrix} 1 \\ 22 \end{bmatrix}`, true, Normalised},
		{"bold letters are other letters", box(`\mathbf{x}`), "𝐱", true, Normalised},
		{"an accent is composed", box(`\hat{e}`), "ê", true, Normalised},
		{"two hyphens are a dash", box(`5--3\ `), "5–3", true, Normalised},
		{"without a backslash they are not", box("5--3"), "5–3", false, Decided},
		{"a backslash at the end takes the space before it along", box(`a b \`), "ab", true, Normalised},

		{"fractions must be reduced alike", box("2/4"), "1/2", false, Fraction},
		{"an integer and something else", box("4.2"), "4", false, Fraction},
		{"an integer written as a product", box("2*2"), "4", false, Fraction},
		{"a tuple with other brackets", box("[1,2)"), "(1,2)", false, Shape},
		{"a single element may have other brackets", box("[5)"), "5", true, Decided},
		{"a tuple with more elements", box("(1,2,3)"), "(1,2)", false, Shape},
		{"a tuple in a tuple is one element, and a tuple cannot be subtracted", box("((1,2),3)"), "((1,2),4)", false, Decided},
		{"a list without parentheses is one element", box("2,1"), "1,2", false, Decided},
		{"elements are stripped", box("( 1 ,\u00a02)"), "(1,2)", true, Decided},
		{"numbers of tuples are compared one by one", box("(1,0.5)"), "(1,1/2)", true, Decided},
		{"three letters are too many", box("a+b+c"), "c+b+a", false, Refused},
		{"those of sqrt do not count", box("xsqrt(2)"), "sqrt(2)", false, ""},
		{"a power of two digits", box("2^10"), "2**10", false, Refused},
		{"a power in parentheses", box("x^(2)"), "x^2", false, Refused},
		{"a decimal and a fraction", box("0.75"), `\frac{3}{4}`, true, Decided},
		{"a decimal of 20 digits is kept more exactly than one of 4", box("0.56130000000000000000"), "0.5613", false, ""},
		{"an imaginary unit is just a letter", box("2i+1"), "1+2i", true, Decided},
	}
	ask := func(string, string) bool { return false }
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			got, err := (&Grader{}).Grade(t.Context(), c.response, c.truth)
			switch {
			case c.how == "":
				if !errors.Is(err, ErrNoAlgebra) {
					t.Errorf("%s: %+v, %v; want that sympy is missing", c.name, got, err)
				}
			case err != nil || got.Correct != c.correct || got.How != c.how:
				t.Errorf("%s: %+v, %v; want %t by %s", c.name, got, err, c.correct, c.how)
			}
		}
	})
	t.Run("definition", func(t *testing.T) {
		o := newOracle(t)
		ask = func(response, truth string) (correct bool) {
			if err := o.ask(&correct, "grade_answer_verl", response, truth); err != nil {
				t.Fatal(err)
			}
			return correct
		}
		for _, c := range cases {
			if ask(c.response, c.truth) != c.correct {
				t.Errorf("%s: the definition says otherwise", c.name)
			}
		}
	})
}

// failing is an Algebra that fails.
type failing struct{ err error }

func (f failing) Normalize(context.Context, string) (string, error)   { return "", f.err }
func (f failing) Equal(context.Context, string, string) (bool, error) { return false, f.err }

func TestVerify(t *testing.T) {
	for _, c := range []struct {
		name, text, truth string
		algebra           Algebra
		want              sampler.Score
		err               error
	}{
		{"correct", `\boxed{ 1/2 }`, "0.5", nil, sampler.Score{Reward: 1, Correct: true, Answer: " 1/2 "}, nil},
		{"not correct", `\boxed{3}`, "4", nil, sampler.Score{Reward: -1, Answer: "3"}, nil},
		{"no box", `4`, "4", nil, sampler.Score{Reward: -1}, nil},
		{"no Python to compare", `\boxed{(1+\sqrt2)^2}`, `3+2\sqrt2`, nil, sampler.Score{}, ErrNoAlgebra},
		{"no Python to normalise", `\boxed{\title{5}}`, `3`, nil, sampler.Score{}, ErrNoAlgebra},
		{"too late to compare", `\boxed{(1+\sqrt2)^2}`, `3+2\sqrt2`, failing{sampler.ErrVerifyTimeout}, sampler.Score{}, sampler.ErrVerifyTimeout},
		{"too late to normalise", `\boxed{\verb|5|}`, `3`, failing{sampler.ErrVerifyTimeout}, sampler.Score{}, sampler.ErrVerifyTimeout},
		{"compared", `\boxed{(1+\sqrt2)^2}`, `3+2\sqrt2`, recorded{{Equal: []string{"3+2sqrt(2)", "(1+sqrt(2))^2"}, Is: true}}, sampler.Score{Reward: 1, Correct: true, Answer: `(1+\sqrt2)^2`}, nil},
		{"invalid UTF-8", "\\boxed{\xff5}", "\ufffd5", nil, sampler.Score{Reward: 1, Correct: true, Answer: "\ufffd5"}, nil},
	} {
		got, err := (&Grader{Algebra: c.algebra}).Verify(t.Context(), c.text, c.truth)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.name, got, err, c.want, c.err)
		}
	}
}

// hostile are texts that take a careless reader long, about size bytes each.
func hostile(size int) map[string]string {
	long := func(s string) string { return strings.Repeat(s, size/len(s)) }
	return map[string]string{
		"opening braces": long("{"), "closing braces": long("}"), "pairs of braces": long("{}"), "nested braces": long("{") + long("}"), "backslashes": long(`\`), "escaped braces": long(`\{`), "boxes": long(`\boxed{`),
		"closed boxes": long(`\boxed{1}`), "fractions": long(`\frac`), "nested fractions": long(`\frac{`), "fractions of fractions": long(`\frac{1}{`), "fractions without braces": long(`\frac1`), "roots": long(`\sqrt`), "nested roots": long(`\sqrt{`), "optional arguments": long(`\sqrt[`), "lines": long(`\\ `), "lines with arguments": long(`\\[`),
		"environments": long(`\begin{array}`), "ends": long(`\end{array}`), "begins without a name": long(`\begin{`), "mathematics": long(`\(`), "displays": long(`\[`), "cells": `\begin{array}{c}` + long("&1") + `\end{array}`, "one wide cell and many": `\begin{pmatrix}` + long("1")[:size/2] + long("&1")[:size/2] + `\end{pmatrix}`,
		"NUL": long("\x00"), "spaces": long(" "), "line breaks": "\\," + long("\n"), "spaces between digits": long("1 "), "thousands": long("1,234,"), "thousands in a row": long("234,"), "commas": long(","), "thin commas": long(`,\!`), "digits": long("7"), "underscores": "1" + long("_1"), "minus signs": long("-"), "spaced minus signs": long("- "), "units": long("centimeters ^2"), "half units": long("mete"), "degrees": long(`^ \circ`), "carets": long("^"),
		"sigmas": long("Σ'"), "primes before a sigma": long("'") + "Σ", "combining marks": "a" + long("\u0301"), "letters": long("ab"), "parentheses": long("("), "matched parentheses": long("()"), "a sum": "1" + long("+1"), "text": `\text{` + long("}") + "}", "units in text": long(`\text{ `), "equations": long("="), "invalid bytes": long("\xff"),
	}
}

// TestHostile answers within a time that anything worse than linear exceeds by far,
// and asks little of Python.
func TestHostile(t *testing.T) {
	texts := hostile(1 << 17)
	for _, name := range []string{"opening braces", "nested braces", "backslashes", "nested fractions", "NUL", "sigmas"} {
		texts[name+", a megabyte"] = hostile(1 << 20)[name]
	}
	for name, s := range texts {
		t.Run(name, func(t *testing.T) {
			for _, response := range []string{s, `\boxed{` + s + `}`, `\boxed{5\,` + s + `}`} {
				v, err := (&Grader{}).Grade(t.Context(), response, `\frac{1}{2}`)
				if err != nil && !errors.Is(err, ErrNoAlgebra) || v.Correct {
					t.Errorf("%.30q: %t, %v", response, v.Correct, err)
				}
			}
			if _, err := (&Grader{}).Grade(t.Context(), `\boxed{5}`, `5\,`+s); err != nil && !errors.Is(err, ErrNoAlgebra) {
				t.Error(err)
			}
		})
	}
}

// FuzzGrade: any text is graded without a panic, the same way twice, and what is in
// the box is correct where it is itself the truth.
func FuzzGrade(f *testing.F) {
	for _, s := range []string{`\boxed{42}`, `\boxed{\frac{1}{`, `\boxed{(1, \sqrt2)}`, `\boxed{\begin{pmatrix}1&2\\3\end{pmatrix}}`, `\boxed{0.5}`, "\\boxed{\xff\x00}", `\boxed{x^2=\text{ a}}`, `\boxed{2pi(3)/x}`, `\boxed{\hat\(\[}\\*[`} {
		f.Add(s, `1/2`)
		f.Add(`\boxed{5}`, s)
	}
	f.Fuzz(func(t *testing.T, response, truth string) {
		if len(response)+len(truth) > 1<<14 {
			t.Skip()
		}
		g := &Grader{}
		v, err := g.Grade(t.Context(), response, truth)
		if err != nil && !errors.Is(err, ErrNoAlgebra) {
			t.Fatal(err)
		}
		if again, err2 := g.Grade(t.Context(), response, truth); again != v || (err2 == nil) != (err == nil) {
			t.Errorf("%+v, %v and then %+v, %v", v, err, again, err2)
		}
		if v.Correct && !v.Found || !v.Found && v.Answer != "" || err == nil && v.How == "" {
			t.Errorf("%+v", v)
		}
		if v.Found && v.Answer != "" && !strings.Contains(v.Answer, `\boxed`) {
			if same, err := g.Grade(t.Context(), response, v.Answer); err != nil || !same.Correct {
				t.Errorf("%+q is not itself: %+v, %v", v.Answer, same, err)
			}
		}
	})
}

// BenchmarkGrade grades the reference pairs that need no Python.
func BenchmarkGrade(b *testing.B) {
	var pairs []pair
	g := &Grader{}
	for _, p := range readPairs(b, kit1) {
		if _, err := g.Grade(b.Context(), p.Response, p.GroundTruth); err == nil {
			pairs = append(pairs, p)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p := pairs[i%len(pairs)]
		if _, err := g.Grade(b.Context(), p.Response, p.GroundTruth); err != nil {
			b.Fatal(err)
		}
	}
}
