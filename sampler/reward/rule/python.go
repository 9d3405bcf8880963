package rule

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/rangetable"
)

// The meaning of Python's str methods, float() and int() on text. The interpreter
// (3.10) knows Unicode 13; a later character is nothing to it: no letter, no digit,
// no other case.
const unicodeVersion = "13.0.0"

var assigned = sync.OnceValue(func() *unicode.RangeTable { return rangetable.Assigned(unicodeVersion) })

func known(r rune) bool { return unicode.Is(assigned(), r) }

// isSpace is str.isspace of one character.
func isSpace(r rune) bool {
	switch {
	case r < 0x80:
		return r == ' ' || '\t' <= r && r <= '\r' || 0x1c <= r && r <= 0x1f
	case r == 0x85, r == 0xa0, r == 0x1680, 0x2000 <= r && r <= 0x200a, r == 0x2028, r == 0x2029, r == 0x202f, r == 0x205f, r == 0x3000:
		return true
	}
	return false
}

// strip is str.strip().
func strip(s string) string { return strings.TrimFunc(s, isSpace) }

// isAlpha is str.isalpha of one character.
func isAlpha(r rune) bool {
	if r < 0x80 {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	return unicode.IsLetter(r) && known(r)
}

// isDecimal is str.isdecimal of one character, which is what \d matches.
func isDecimal(r rune) bool {
	if r < 0x80 {
		return '0' <= r && r <= '9'
	}
	return unicode.Is(unicode.Nd, r) && known(r)
}

// digitValue is the value of a decimal digit: the ten of a script follow one
// another, but for the mathematical ones, five alphabets in a row.
func digitValue(r rune) byte {
	const mathDigits, mathDigitsEnd = 0x1d7ce, 0x1d7ff
	if mathDigits <= r && r <= mathDigitsEnd {
		return byte('0' + (r-mathDigits)%10)
	}
	zero := r
	for n := 0; n < 9 && isDecimal(zero-1); n++ {
		zero--
	}
	return byte('0' + r - zero)
}

// lower is str.lower().
func lower(s string) string {
	ascii := true
	for i := 0; i < len(s) && ascii; i++ {
		ascii = s[i] < utf8.RuneSelf
	}
	if ascii {
		return strings.ToLower(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	for i, r := range s {
		switch {
		case r == 'İ':
			b.WriteString("i\u0307")
		case r == 'Σ' && finalSigma(s[:i], s[i+len("Σ"):]):
			b.WriteRune('ς')
		case r >= utf8.RuneSelf && !known(r):
			b.WriteRune(r)
		default:
			if l := unicode.ToLower(r); r < utf8.RuneSelf || known(l) {
				r = l
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

// finalSigma tells whether a capital sigma between two texts ends a word: a cased
// letter stands before it and none after it, case-ignorable characters left out.
func finalSigma(before, after string) bool {
	cased := false
	for before != "" {
		r, size := utf8.DecodeLastRuneInString(before)
		if !caseIgnorable(r) {
			cased = isCased(r)
			break
		}
		before = before[:len(before)-size]
	}
	if !cased {
		return false
	}
	for _, r := range after {
		if !caseIgnorable(r) {
			return !isCased(r)
		}
	}
	return true
}

func isCased(r rune) bool {
	return known(r) && (unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) ||
		unicode.Is(unicode.Other_Lowercase, r) || unicode.Is(unicode.Other_Uppercase, r))
}

// caseIgnorable is Unicode's derived property Case_Ignorable.
func caseIgnorable(r rune) bool {
	switch r {
	case '\'', '.', ':', '^', '`', 0xa8, 0xad, 0xaf, 0xb4, 0xb7, 0xb8, 0x387, 0x55f, 0x5f4, 0x2018, 0x2019, 0x2024, 0x2027, 0xfe13, 0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a:
		return true
	}
	return known(r) && unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk)
}

// parseFloat is float(s); not ok where Python raises ValueError.
func parseFloat(s string) (x float64, ok bool) {
	s, ok = asciiNumber(s)
	if !ok {
		return 0, false
	}
	digits, ok := literal(s)
	if !ok {
		return 0, false
	}
	x, err := strconv.ParseFloat(digits, 64)
	return x, err == nil || math.IsInf(x, 0) // out of range is infinity in Python
}

// asciiNumber writes the digits and spaces of s in ASCII and strips it, as float()
// begins. Of the white space in ASCII it knows less than str.strip does.
func asciiNumber(s string) (string, bool) {
	const asciiSpace = "\t\n\v\f\r "
	for i := 0; i < len(s); i++ {
		if s[i] < utf8.RuneSelf {
			continue
		}
		b := make([]byte, 0, len(s))
		for _, r := range s {
			switch {
			case r < utf8.RuneSelf:
				b = append(b, byte(r))
			case isSpace(r):
				b = append(b, ' ')
			case isDecimal(r):
				b = append(b, digitValue(r))
			default:
				return "", false
			}
		}
		s = string(b)
		break
	}
	s = strings.Trim(s, asciiSpace)
	return s, s != ""
}

// literal checks Python's grammar of a float and returns s as Go's reads it, without underscores.
func literal(s string) (string, bool) {
	unsigned := strings.TrimLeft(s, "+-")
	if len(s)-len(unsigned) > 1 {
		return "", false
	}
	switch strings.ToLower(unsigned) {
	case "inf", "infinity", "nan":
		if strings.EqualFold(unsigned, "nan") {
			return "nan", true // its sign is of no account
		}
		return s, true
	}
	mantissa, exponent := unsigned, ""
	if i := strings.IndexAny(unsigned, "eE"); i >= 0 {
		mantissa, exponent = unsigned[:i], unsigned[i+1:]
		if exponent != "" && (exponent[0] == '+' || exponent[0] == '-') {
			exponent = exponent[1:]
		}
		if !digitRun(exponent) {
			return "", false
		}
	}
	whole, fraction, point := strings.Cut(mantissa, ".")
	if whole == "" && fraction == "" || whole != "" && !digitRun(whole) || fraction != "" && !digitRun(fraction) || !point && whole == "" {
		return "", false
	}
	return strings.ReplaceAll(s, "_", ""), true
}

// digitRun tells whether s is ASCII digits, single underscores between them.
func digitRun(s string) bool {
	digit := false
	for i := 0; i < len(s); i++ {
		switch {
		case '0' <= s[i] && s[i] <= '9':
			digit = true
		case s[i] == '_' && digit:
			digit = false
		default:
			return false
		}
	}
	return digit
}

// nearInteger is abs(x - int(round(x))) <= 1e-7; false for infinities and NaN.
func nearInteger(x float64) bool {
	return !math.IsInf(x, 0) && math.Abs(x-math.RoundToEven(x)) <= 1e-7
}

// formatInt is str(int(x)) of a finite x.
func formatInt(x float64) string {
	if math.Abs(x) < 1<<62 {
		return strconv.FormatInt(int64(x), 10)
	}
	i, _ := new(big.Float).SetFloat64(x).Int(nil)
	return i.String()
}
