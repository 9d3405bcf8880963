package sympy

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Texts as answers are written, and as they should not be: for the differential
// test and the benchmark. The same source of numbers gives the same texts.

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// latex is an answer before normalisation.
func latex(r *rand.Rand) string {
	s := latexTerm(r, 3)
	for r.IntN(3) == 0 {
		s += pick(r, " ", "+", "-", "- ", ",", ", ", " or ", " and ", "=", `\cdot `, `\times `, `\cup `, `\,`, `,\! `, "") + latexTerm(r, 2)
	}
	switch r.IntN(12) {
	case 0:
		return `\text{` + s + "}"
	case 1:
		return "$" + s + "$"
	case 2:
		return s + pick(r, " cm", " feet", "inches", " square meters", `\text{ hours}`, " cm^2", " years^3", " degrees", `^\circ`, `^ \circ`, `\%`, "%", " million", " billion", " trillion", `\$`)
	case 3:
		return `\left(` + s + `\right)`
	case 4:
		return "{" + s + "}"
	case 5:
		return strings.ToUpper(s)
	case 6: // something goes missing or comes twice
		if i, j := r.IntN(len(s)), r.IntN(len(s)); i < j {
			return s[:i] + s[j:]
		}
		return s + s
	}
	return s
}

func latexTerm(r *rand.Rand, depth int) string {
	if depth == 0 {
		return pick(r, "1", "2", "10", "0.5", ".5", "x", "y", "n", `\pi`, `\infty`, `\alpha`, "1,000", "12,345,678", "3 1/2", "7.0", "2.99999999", "-3", "- 4", "1e5", "nan", "inf", "½", "²", "٣", "７", "Ⅳ", "é", "−5", "0x1F", "1_000", "")
	}
	a, b := func() string { return latexTerm(r, depth-1) }, r.IntN(100)
	return pick(r,
		fmt.Sprintf(`\frac{%s}{%s}`, a(), a()), fmt.Sprintf(`\dfrac{%s}{%s}`, a(), a()), fmt.Sprintf(`\tfrac%d%d`, b%10, b/10), fmt.Sprintf(`\frac%d{%s}`, b%10, a()),
		fmt.Sprintf(`\sqrt{%s}`, a()), fmt.Sprintf(`\sqrt[%d]{%s}`, b%5, a()), fmt.Sprintf(`\sqrt%d`, b%10),
		fmt.Sprintf("%s^{%s}", a(), a()), fmt.Sprintf("%s^%d", a(), b), fmt.Sprintf("%s_{%d}", a(), b),
		fmt.Sprintf("(%s,%s)", a(), a()), fmt.Sprintf("[%s, %s]", a(), a()), fmt.Sprintf(`\{%s\}`, a()), fmt.Sprintf("{%s}", a()),
		fmt.Sprintf(`\begin{pmatrix} %s & %s \\ %s & 1 \end{pmatrix}`, a(), a(), a()), fmt.Sprintf(`\text{%s}`, a()), fmt.Sprintf(`\mathbf{%s}`, a()),
		fmt.Sprintf("%d %s", b, a()), fmt.Sprintf("%d/%d", b, b/7+1), fmt.Sprintf("%d %d/%d", b%9, b%7, b%5+2), fmt.Sprintf(`\binom{%s}{%s}`, a(), a()),
		fmt.Sprintf("%s%%%s", a(), a()), a(), a()+a())
}

// pair is two normalised answers: the same thing twice, nearly, or something else.
func pair(r *rand.Rand) (truth, given string) {
	truth = formula(r, 1+r.IntN(2))
	switch r.IntN(10) {
	case 0, 1:
		return truth, formula(r, 2)
	case 2:
		return truth, "(" + truth + ")" + pick(r, "+1", "*2", "-x", "^2", "!", "/3")
	case 3:
		return truth, broken(r, truth)
	case 4:
		return broken(r, truth), truth
	}
	return truth, rewritten(r, truth)
}

// formula is over few letters, as the guard wants it, most times.
func formula(r *rand.Rand, depth int) string {
	if depth == 0 {
		return pick(r, "1", "2", "3", "5", "12", "0.5", "0.25", "1.5", "x", "x", "x", "n", "pi", "sqrt(2)", "sqrt(3)", "2x", "x^2", "3!", "i", "e")
	}
	a := func() string { return formula(r, depth-1) }
	return pick(r,
		a()+"+"+a(), a()+"-"+a(), a()+"*"+a(), a()+"/"+a(), "("+a()+")("+a()+")", a()+"("+a()+")", "sqrt("+a()+")", "("+a()+")^2", "("+a()+")/("+a()+")",
		"-"+a(), a()+"^3", "("+a()+")**"+pick(r, "2", "3", "0.5", "(1/2)"), "1/("+a()+")", a()+pick(r, "==", "<", "=")+a(), "ln("+a()+")", "re("+a()+")", a()+","+a(), "2^"+pick(r, "5", "10", "100", "(3)", "{4}", "2^3"))
}

// rewritten says the same in another way.
func rewritten(r *rand.Rand, s string) string {
	switch r.IntN(8) {
	case 0:
		return "2*(" + s + ")/2"
	case 1:
		return "(" + s + ")+x-x"
	case 2:
		return "0+" + s
	case 3:
		return "sqrt((" + s + ")^2)" // not always
	case 4:
		return "(" + s + ")*(x+1)/(x+1)"
	case 5:
		return "-(-(" + s + "))"
	case 6:
		return strings.ReplaceAll(strings.ReplaceAll(s, "0.5", "1/2"), "sqrt(2)", "2/sqrt(2)")
	}
	return strings.ReplaceAll(s, "^", "**")
}

// broken has something that is no formula.
func broken(r *rand.Rand, s string) string {
	i := r.IntN(len(s) + 1)
	return s[:i] + pick(r, "(", ")", "!", "!!", ".", "..", "'", `"`, `"1"`, "#", "\n", "\x00", "\\", ",", ";", ":", "=", "==", "_", "__", "[", "]", "[0]", "{1:2}", "*", "**", "***", "//", "%", "&", "|", "~", "@", "°", "²", "√", "π", "ⅷ", "①", "½", "é", "１", "٣", "x.n", ".n()", ".p", ".q", "1.e", "0x", "0b1", "1e9", "1j", "1_0", "007", "0.(3)", "nan", "oo", "zoo", "all", "id", "li", "ff", "if", "in", "or", "is", "pi()", "e", "i", "f\"1\"", "b'1'", "lambda", "None") + s[i:]
}
