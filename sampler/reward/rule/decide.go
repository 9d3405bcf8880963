package rule

import (
	"regexp"
	"strings"
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
func decide(truth, given string) (equal, sure bool) {
	const exact = 300 // digits; far below what Python reads from text
	if plainInt(truth) && plainInt(given) && len(truth) <= exact && len(given) <= exact {
		return truth == given, true
	}
	return false, false
}
