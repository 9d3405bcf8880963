package reward

import (
	"math/big"
	"strings"
	"testing"
)

func TestNumber(t *testing.T) {
	for s, want := range map[string]string{
		"42": "42", "-42": "-42", "+42": "42", "−42": "-42", "- 42": "-42", "42.": "42", "0.1": "1/10", ".5": "1/2", "007": "7",
		"1,234": "1234", "1,234,567.25": "4938269/4", "1 234": "1234", "12\u202f345": "12345", `1{,}234`: "1234", `1\,234`: "1234",
		"3/4": "3/4", "-3/4": "-3/4", "3 / 4": "3/4", `\frac{3}{4}`: "3/4", `-\dfrac{3}{4}`: "-3/4", "1 1/2": "3/2", `1\frac{1}{2}`: "3/2", "-1 1/2": "-3/2", "0.5/2": "1/4",
		"50%": "1/2", `12.5\%`: "1/8", "50 %": "1/2", "$12": "12", `\$1,000`: "1000", "-$5": "-5", "€3": "3", "$42$": "42", `\text{42}`: "42",
		"1e3": "1000", "1.5E-2": "3/200", `1.5 \times 10^{3}`: "1500", "2×10^-1": "1/5", "1,000e2": "100000",
	} {
		r, ok := number(s)
		w, _ := new(big.Rat).SetString(want)
		if !ok || r.Cmp(w) != 0 {
			t.Errorf("%q: %v, %t; want %s", s, r, ok, want)
		}
	}
	for _, s := range []string{
		"", "-", "%", "forty", "3,14", "1,23,456", "12,3456", "1.2.3", "1/0", "1/2/3", "4 5", "12 kg", "0x10", "1_000", "inf", "NaN", "--4", "\\frac{1}{}",
		"1e1001", "1e-1001", "1e999999999", "1e99999999999999999999", `1 \times 10^{99999999}`, strings.Repeat("9", 300), "4\x00",
	} {
		if r, ok := number(s); ok {
			t.Errorf("%q was read as %v", s, r)
		}
	}
}

func TestNumeric(t *testing.T) {
	verdicts(t, &Numeric{}, []pairCase{
		{"the same", `\boxed{42}`, "42", true, "42"},
		{"written otherwise", `\boxed{1,000.0}`, "1000", true, "1,000.0"},
		{"a fraction", `answer: 1/4`, "0.25", true, "1/4"},
		{"a percentage", `answer: 25%`, `\frac14`[:0] + "0.25", true, "25%"},
		{"a percentage is not its hundredfold", `answer: 25%`, "25", false, "25%"},
		{"near, without tolerance", `\boxed{3.14}`, "3.14159", false, "3.14"},
		{"no number", `\boxed{x}`, "3", false, "x"},
		{"nothing", `3`, "3", false, ""},
	})
	verdicts(t, NewNumeric(0.3, 0), []pairCase{
		{"at the tolerance, which is no binary fraction", `\boxed{0.7}`, "1", true, "0.7"},
		{"just beyond", `\boxed{0.6999999999999999999}`, "1", false, "0.6999999999999999999"},
	})
	verdicts(t, NewNumeric(0, 0.01), []pairCase{
		{"within a hundredth", `\boxed{-99}`, "-100", true, "-99"},
		{"beyond a hundredth", `\boxed{-98.9}`, "-100", false, "-98.9"},
		{"nothing is near zero", `\boxed{1e-9}`, "0", false, "1e-9"},
	})
	verdicts(t, NewNumeric(0.5, 0.01), []pairCase{
		{"the larger counts: absolute", `\boxed{1.5}`, "1", true, "1.5"},
		{"the larger counts: relative", `\boxed{1010}`, "1000", true, "1010"},
	})
	failsOn(t, &Numeric{}, `\boxed{3}`, "three", `must be a number, is "three"`)
}
