package rule

import (
	"errors"
	"strings"
)

// units are taken out wherever they stand, one after the other in this order.
var units = []string{
	"degree", "cm", "centimeter", "meter", "mile", "second", "minute", "hour", "day", "week", "month", "year", "foot", "feet", "inch", "yard",
}

// normalize is the second of the two normal forms: text that sympy can read.
// [errUnsure] where only pylatexenc can say what LaTeX becomes.
func normalize(expr string) (string, error) {
	if text, ok := unText(expr); ok {
		expr = text
	}
	for _, pair := range [...][2]string{
		{`\%`, "%"}, {`\$`, "$"}, {"$", ""}, {"%", ""}, {" or ", " , "}, {" and ", " , "},
		{"million", "*10^6"}, {"billion", "*10^9"}, {"trillion", "*10^12"},
	} {
		expr = strings.ReplaceAll(expr, pair[0], pair[1])
	}
	for _, unit := range units {
		expr = dropUnit(expr, unit)
	}
	expr = dropDegrees(expr)
	if len(expr) > 1 && expr[0] == '{' && expr[len(expr)-1] == '}' {
		expr = expr[1 : len(expr)-1]
	}
	expr = dropThinCommas(expr)
	if x, ok := parseFloat(expr); ok && nearInteger(x) {
		expr = formatRounded(x)
	}
	if strings.Contains(expr, `\`) {
		switch text, err := latexToSympy(expr); {
		case err == nil:
			expr = text
		case !errors.Is(err, errRaises):
			return "", err
		}
	}
	expr = tightMinus(expr)
	expr = plusBetweenDigits(expr)
	expr = tight.Replace(expr)
	expr = lower(expr)
	if x, ok := stringInt(expr); ok {
		expr = formatInt(x)
	}
	return expr, nil
}

// latexToSympy writes LaTeX in a way that sympy may read.
func latexToSympy(expr string) (string, error) {
	expr = strings.ReplaceAll(expr, `\tfrac`, `\frac`)
	expr = strings.ReplaceAll(expr, `\dfrac`, `\frac`)
	expr = strings.ReplaceAll(expr, `\frac`, ` \frac`) // so that 3\frac12 is a mixed number
	text, err := latexText(expr)
	if err != nil {
		return "", err
	}
	return strip(symbols.Replace(text)), nil
}

// What is replaced in any order, since nothing that is put in is replaced again.
var (
	tight   = strings.NewReplacer(" ", "", "{", "", "}", "")
	symbols = strings.NewReplacer("√", "sqrt", "π", "pi", "∞", "inf", "∪", "U", "·", "*", "×", "*")
)

// dropUnit takes out a unit, its plural's ending, the spaces behind it and a power.
func dropUnit(s, unit string) string {
	i := strings.Index(s, unit)
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for ; i >= 0; i = strings.Index(s, unit) {
		b.WriteString(s[:i])
		s = s[i+len(unit):]
		s = strings.TrimPrefix(s, "es")
		s = strings.TrimPrefix(s, "s")
		s = strings.TrimLeft(s, " ")
		if power, ok := strings.CutPrefix(s, "^"); ok {
			if rest := strings.TrimLeft(power, "0123456789"); len(rest) < len(power) {
				s = rest
			}
		}
	}
	b.WriteString(s)
	return b.String()
}

// dropDegrees takes out ^\circ, also with spaces in it.
func dropDegrees(s string) string {
	if !strings.Contains(s, `\circ`) {
		return s
	}
	parts := strings.Split(s, `\circ`)
	var b strings.Builder
	for i, part := range parts {
		if i == len(parts)-1 {
			b.WriteString(part)
			break
		}
		if before, ok := strings.CutSuffix(strings.TrimRight(part, " "), "^"); ok {
			b.WriteString(before)
			continue
		}
		b.WriteString(part + `\circ`)
	}
	return b.String()
}

// dropThinCommas takes out the commas of 1,\!000, which are followed by a negative space.
func dropThinCommas(s string) string {
	parts := strings.Split(s, `,\!`)
	for i := range parts[1:] {
		parts[i+1] = strings.TrimLeft(parts[i+1], " ")
	}
	return strings.Join(parts, "")
}

// tightMinus takes the spaces behind each minus away.
func tightMinus(s string) string {
	if !strings.Contains(s, "- ") {
		return s
	}
	parts := strings.Split(s, "-")
	for i := range parts[1:] {
		parts[i+1] = strings.TrimLeft(parts[i+1], " ")
	}
	return strings.Join(parts, "-")
}

// plusBetweenDigits puts a plus in place of the spaces between two digits, as in a
// mixed number. A digit between two such gaps counts for the first alone.
func plusBetweenDigits(s string) string {
	if !strings.Contains(s, " ") {
		return s
	}
	digit := func(i int) bool { return 0 <= i && i < len(s) && '0' <= s[i] && s[i] <= '9' }
	b := make([]byte, 0, len(s))
	used := -1 // the digit that the last plus has taken
	for i := 0; i < len(s); i++ {
		if s[i] != ' ' {
			b = append(b, s[i])
			continue
		}
		end := i
		for end < len(s) && s[end] == ' ' {
			end++
		}
		if digit(i-1) && i-1 > used && digit(end) {
			b, used = append(b, '+'), end
		} else {
			b = append(b, s[i:end]...)
		}
		i = end - 1
	}
	return string(b)
}
