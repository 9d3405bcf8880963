package rule

import (
	"regexp"
	"strings"
	"unicode"
)

// refusedPowers are what the definition does not hand to sympy, which might never
// be done with it.
var refusedPowers = regexp.MustCompile(`\^[0-9]+\^|\^[0-9][0-9]|\^\{|\^\(`)

// allowed tells whether the definition hands two elements to sympy: not if they have
// more than two letters, or powers of some kinds.
func allowed(truth, given string) bool {
	expr := "(" + truth + ")-(" + given + ")"
	return !refusedPowers.MatchString(expr) && letters(expr, 2) <= 2
}

// letters counts the different letters of expr, those of sqrt and frac left out; it
// stops at one more than limit.
func letters(expr string, limit int) int {
	expr = strings.ReplaceAll(expr, "sqrt", "")
	expr = strings.ReplaceAll(expr, "frac", "")
	seen := make([]rune, 0, 8)
next:
	for _, r := range expr {
		if !isAlpha(r) {
			continue
		}
		for _, s := range seen {
			if s == r {
				continue next
			}
		}
		if seen = append(seen, r); len(seen) > limit {
			break
		}
	}
	return len(seen)
}

// decide tells what sympy says of two elements, if that is sure.
//
// sympy reads (truth)-(given) and asks whether simplify makes it zero; whatever
// raises is false. Sure are:
//
//   - what Python cannot compile, or cannot subtract: see [unreadable];
//   - two expressions that differ at a point by more than any rounding ([apart]);
//   - fractions, sums of roots and letters in normal form, and rational functions,
//     which sympy makes zero whenever they are equal;
//   - two decimals, or one and a fraction, in sympy's own precision;
//   - the same expression twice, once it is known to be finite.
func decide(truth, given string) (equal, sure bool) {
	const exact = 300 // digits; far below what Python reads from text
	if plainInt(truth) && plainInt(given) && len(truth) <= exact && len(given) <= exact {
		return truth == given, true
	}
	if unreadable(truth, given) {
		return false, true
	}
	a, ok := parseExpr(truth)
	if !ok {
		return false, false
	}
	b, ok := parseExpr(given)
	if !ok {
		return false, false
	}
	if equal, sure := decideNumbers(a, b); sure {
		return equal, true
	}
	if apart(a, b) {
		return false, true
	}
	if sameRational(a, b) {
		return true, true
	}
	if f, ok := a.normalForm(); ok {
		if g, ok := b.normalForm(); ok && f.equal(g) {
			return true, true
		}
	}
	if a.String() == b.String() {
		_, finite := a.evaluate(func(string) float64 { return 1.37 })
		return finite, finite
	}
	return false, false
}

// decideNumbers compares fractions and single decimals.
func decideNumbers(a, b *expr) (equal, sure bool) {
	x, aExact := a.rational()
	y, bExact := b.rational()
	if aExact && bExact {
		return x.Cmp(y) == 0, true
	}
	var bits uint
	var ok bool
	if !aExact {
		if x, bits, ok = a.decimal(); !ok {
			return false, false
		}
	}
	if !bExact {
		if y, bits, ok = b.decimal(); !ok {
			return false, false
		}
	}
	return sameFloat(x, y, bits), true
}

// unreadable tells whether (truth)-(given) certainly raises, whatever sympy's
// parser does to it before it is Python:
//
//   - brackets that do not match, an operator with nothing behind or before it;
//   - a character that no Python code has outside of a string;
//   - outside of all brackets of an element, an = that is no part of == and the
//     like, a colon that is none of :=, or a semicolon;
//   - there, a comma: such an element is a tuple, and nothing can be taken from one.
//
// Quotes, comments and line breaks are not looked into: with one of them nothing is sure.
func unreadable(truth, given string) bool {
	if strings.ContainsAny(truth, unsureChars) || strings.ContainsAny(given, unsureChars) {
		return false
	}
	t, g := scan(unwrap(truth)), scan(unwrap(given))
	if t.foreign || g.foreign {
		return true
	}
	if !t.closed || !g.closed {
		return !scan("(" + truth + ")-(" + given + ")").closed
	}
	return (t.fails || g.fails) && !raisedName.MatchString(truth) && !raisedName.MatchString(given)
}

// raisedName is a function's name with a power behind it, which sympy's parser puts
// behind the function's argument, wherever that is.
var raisedName = regexp.MustCompile(`[a-zA-Z]{2}(\^|\*\*)`)

const unsureChars = "'\"#\\`$\n\r\f\v\t\x00"

// scanned is what a look at an element's characters tells.
type scanned struct {
	closed  bool // every bracket is closed by its like, none before it was opened
	fails   bool // it cannot stand in parentheses, or cannot be subtracted
	foreign bool // it has a character that is no Python
}

func scan(s string) scanned {
	var open []byte
	var out scanned
	if s == "" {
		return scanned{closed: true, fails: true} // () is a tuple
	}
	const infix = "*/^%|&<>=,"
	if strings.IndexByte(infix, s[0]) >= 0 || strings.IndexByte(infix+"+-~", s[len(s)-1]) >= 0 {
		out.fails = true
	}
	for i, r := range s {
		switch {
		case r >= 0x80:
			out.foreign = out.foreign || foreign(r)
		case r == '(' || r == '[' || r == '{':
			open = append(open, byte(r))
		case r == ')' || r == ']' || r == '}':
			if len(open) == 0 || !pairs(open[len(open)-1], byte(r)) {
				return out
			}
			open = open[:len(open)-1]
		case len(open) > 0:
		case r == ',' || r == ';':
			out.fails = true
		case r == '=':
			if !strings.ContainsRune("=!<>:", before(s, i)) && before(s, i+2) != '=' {
				out.fails = true
			}
		case r == ':':
			if before(s, i+2) != '=' {
				out.fails = true
			}
		}
	}
	out.closed = len(open) == 0
	return out
}

// unwrap takes away parentheses around all of s, a few if there are many.
func unwrap(s string) string {
	for range 3 {
		if len(s) < 2 || s[0] != '(' || s[len(s)-1] != ')' {
			return s
		}
		open := 0
		for i := 0; i < len(s)-1; i++ {
			switch s[i] {
			case '(':
				open++
			case ')':
				open--
			}
			if open == 0 {
				return s
			}
		}
		s = s[1 : len(s)-1]
	}
	return s
}

// before is the byte before s[i], 0 if there is none.
func before(s string, i int) rune {
	if 0 < i && i <= len(s) {
		return rune(s[i-1])
	}
	return 0
}

func pairs(open, closing byte) bool {
	return open == '(' && closing == ')' || open == '[' && closing == ']' || open == '{' && closing == '}'
}

// foreign tells whether r can stand in no Python code but in text and comments: it
// is neither of a name nor white space.
func foreign(r rune) bool {
	switch r {
	case '\u00b7', '\u0387', '\u2118', '\u212e', '\u309b', '\u309c', '\u30fb', '\uff65':
		return false // of names all the same, now or in a later Unicode
	}
	return unicode.In(r, unicode.Sm, unicode.Sc, unicode.So, unicode.Pd, unicode.Ps, unicode.Pe, unicode.Pi, unicode.Pf, unicode.Po, unicode.Cf) && known(r)
}
