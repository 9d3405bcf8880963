package rule

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/justrl/justrl/sampler"
)

// randomElement is an element as normalize leaves one: mostly an expression, with
// few letters, sometimes none that Python reads.
func randomElement(r *rand.Rand, depth int) string {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	if depth == 0 || r.IntN(3) == 0 {
		return pick("1", "2", "3", "5", "6", "7", "10", "12", "-1", "-4", "0", "0.5", "1.5", "2.0", ".25", "5.", "0.1", "0.3333", "1e3", "1.5e-3", "3.14", "0.10000000000000000000", "x", "x", "n", "pi",
			"sqrt(2)", "sqrt(3)", "sqrt(12)", "sqrt(1/2)", "sqrt(x)", "sqrt(0)", "01", "1_0", "2x", "xn", "x2", "2pi", "1/2", "3/4", "inf", "oo", "e", "i", "2e", "2j", "x!", "0.2[1]", "nan")
	}
	a, b := randomElement(r, depth-1), randomElement(r, depth-1)
	switch r.IntN(14) {
	case 0, 1:
		return a + "+" + b
	case 2, 3:
		return a + "-" + b
	case 4:
		return a + "*" + b
	case 5:
		return a + b
	case 6, 7:
		return a + "/" + b
	case 8:
		return "(" + a + ")" + b
	case 9:
		return "(" + a + ")" + pick("/", "*", "", "^") + "(" + b + ")"
	case 10:
		return a + pick("^", "**") + pick("2", "3", "-1", "0", "1/2", "12", "x")
	case 11:
		return "sqrt(" + a + ")"
	case 12:
		return "-(" + a + ")"
	}
	return "(" + a + ")"
}

// respelled is an element with the same tree, or value, or not quite.
func respelled(r *rand.Rand, s string) string {
	odd := []string{",", "=", "==", ":", ":=", ";", "(", ")", "[", "]", "{", "}", "+", "-", "*", "**", "/", "//", "^", "%", "!", "!!", "<", ">=", "|", "&", "@", "~", ".", "..", "'", "\"", "#", "\\", "`", "$", "?", "_", " ", "\n",
		"∘", "−", "×", "÷", "°", "·", "²", "½", "√", "\u00a0", "\u200b", "\ufeff", "\u00ad", "\u0301", "ω", "µ", "℘", "⊙", "🎉", "中", "1", "x", "ln", "sqrt", "pi", "or", "if", "is"}
	switch r.IntN(12) {
	case 0:
		return s
	case 1:
		return "(" + s + ")"
	case 2:
		return s + "+0"
	case 3:
		return "1*" + s
	case 4:
		return strings.NewReplacer("2x", "2*x", "2pi", "2*pi", ")(", ")*(").Replace(s)
	case 5:
		return "-(-(" + s + "))"
	case 6:
		return strings.Replace(s, "sqrt(12)", "2sqrt(3)", 1)
	case 7:
		return s + "-1+1"
	case 8:
		return "(" + s + ")/2*2"
	}
	for range 1 + r.IntN(2) {
		i := r.IntN(len(s) + 1)
		for i < len(s) && s[i] >= 0x80 {
			i++
		}
		s = s[:i] + odd[r.IntN(len(odd))] + s[i:]
	}
	return s
}

// TestDecide holds what is decided without sympy against the definition, on random
// pairs of elements, decimals and fractions among them.
func TestDecide(t *testing.T) {
	o := newOracle(t)
	r := rand.New(rand.NewPCG(oracleSeed(t), 2))
	sure, equals, refused, late := 0, 0, 0, 0
	n := oracleCount(t)
	for range n {
		truth := randomElement(r, r.IntN(4))
		given := randomElement(r, r.IntN(4))
		switch r.IntN(4) {
		case 0, 1:
			given = respelled(r, truth)
		case 2:
			truth, given = randomNumbers(r)
		}
		if !allowed(truth, given) {
			refused++
			continue
		}
		equal, ok := decide(truth, given)
		if !ok {
			continue
		}
		sure++
		want, err := o.Equal(t.Context(), truth, given)
		if errors.Is(err, sampler.ErrVerifyTimeout) {
			late++ // its verdict is not known
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if want {
			equals++
		}
		if equal != want {
			t.Errorf("decide(%+q, %+q) = %t, sympy says %t", truth, given, equal, want)
		}
	}
	t.Logf("%d pairs: %d decided, %d of them equal, %d too late; %d refused", n, sure, equals, late, refused)
	if equals == 0 || sure == equals {
		t.Error("the pairs are of one kind alone")
	}
}

// randomNumbers are two decimals or fractions, often of one value or nearly so.
func randomNumbers(r *rand.Rand) (string, string) {
	digits := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte(byte('0' + r.IntN(10)))
		}
		return b.String()
	}
	whole := []string{"", "0", "1", "3", "12", "100", "870000000", "-2", "-0"}[r.IntN(9)]
	d := digits(1 + r.IntN(19))
	a := whole + "." + d
	scale := "1" + strings.Repeat("0", len(d))
	switch r.IntN(8) {
	case 0:
		return a, a + strings.Repeat("0", r.IntN(6))
	case 1:
		return a, strings.Replace(whole+d, "-0", "-", 1) + "/" + scale
	case 2:
		return whole + d + "/" + scale, a
	case 3:
		return a, a[:len(a)-1] + digits(1)
	case 4:
		return a, "-(-" + a + ")"
	case 5:
		e := []string{"e3", "e-3", "e10", "e-7", "e22", "e+2"}[r.IntN(6)]
		return a + e, whole + "." + d + "0" + e
	case 6:
		return digits(1+r.IntN(3)) + "/" + digits(1+r.IntN(4)), a
	}
	return "." + d, "0." + d
}
