package rule

import (
	"strings"
	"unicode/utf8"
)

// mathd is the first of the two normal forms: LaTeX brought to one spelling. Where
// the definition runs into an exception it keeps the text as it was, and so does this.
func mathd(answer string) string {
	answer = strip(answer)
	if text, ok := unText(answer); ok {
		answer = strip(text)
	}
	if s, ok := respell(answer); ok {
		return s
	}
	return answer
}

// unText is the content of a text that is nothing but \text{…} in one line, a line
// break after it left out.
func unText(s string) (string, bool) {
	const open = `\text{`
	if !strings.HasPrefix(s, open) {
		return "", false
	}
	inner, ok := strings.CutSuffix(strings.TrimSuffix(s, "\n"), "}")
	if !ok || len(inner) <= len(open) || strings.Contains(inner, "\n") {
		return "", false
	}
	return inner[len(open):], true
}

// respell does the work of mathd; not ok where the definition raises.
func respell(s string) (string, bool) {
	for _, pair := range [...][2]string{
		{"\n", ""}, {`\!`, ""}, {`\\`, `\`}, {"tfrac", "frac"}, {"dfrac", "frac"},
		{`\left`, ""}, {`\right`, ""}, {`^{\circ}`, ""}, {`^\circ`, ""}, {`\$`, ""},
	} {
		s = strings.ReplaceAll(s, pair[0], pair[1])
	}
	// A unit is \text{ with a space behind the brace; two of them are one too many.
	switch strings.Count(s, `\text{ `) {
	case 0:
	case 1:
		s, _, _ = strings.Cut(s, `\text{ `)
	default:
		return "", false
	}
	s = strings.ReplaceAll(s, `\%`, "")
	s = strings.ReplaceAll(s, " .", " 0.")
	s = strings.ReplaceAll(s, "{.", "{0.")
	if s == "" {
		return "", true
	}
	if s[0] == '.' {
		s = "0" + s
	}
	if strings.Count(s, "=") == 1 {
		if left, right, _ := strings.Cut(s, "="); utf8.RuneCountInString(left) <= 2 {
			s = right
		}
	}
	s, ok := fixRoots(s)
	if !ok {
		return "", false
	}
	s = strings.ReplaceAll(s, " ", "")
	if s, ok = fixFractions(s); !ok {
		return "", false
	}
	if s == "0.5" {
		s = `\frac{1}{2}`
	}
	return fixSlash(s), true
}

// fixRoots puts braces around the character behind each \sqrt that has none; not ok
// if one has nothing behind it.
func fixRoots(s string) (string, bool) {
	const sqrt = `\sqrt`
	parts := strings.Split(s, sqrt)
	var b strings.Builder
	b.WriteString(parts[0])
	for _, part := range parts[1:] {
		b.WriteString(sqrt)
		switch {
		case part == "":
			return "", false
		case part[0] == '{':
			b.WriteString(part)
		default:
			_, n := utf8.DecodeRuneInString(part)
			b.WriteString("{" + part[:n] + "}" + part[n:])
		}
	}
	return b.String(), true
}

// fixFractions puts braces around the two characters behind each \frac that has
// none. A lone character behind one leaves the whole text alone; nothing at all is not ok.
func fixFractions(s string) (string, bool) {
	const frac = `\frac`
	parts := strings.Split(s, frac)
	var b strings.Builder
	b.WriteString(parts[0])
	for _, part := range parts[1:] {
		b.WriteString(frac)
		if part == "" {
			return "", false
		}
		if part[0] == '{' {
			b.WriteString(part)
			continue
		}
		_, n := utf8.DecodeRuneInString(part)
		if n == len(part) {
			return s, true
		}
		above, rest := part[:n], part[n:]
		b.WriteString("{" + above + "}")
		if rest[0] == '{' {
			b.WriteString(rest)
			continue
		}
		_, n = utf8.DecodeRuneInString(rest)
		b.WriteString("{" + rest[:n] + "}" + rest[n:])
	}
	return b.String(), true
}

// maxIntDigits is how long an integer Python reads from text.
const maxIntDigits = 4300

// fixSlash writes a/b as a fraction where a and b are integers as Python prints them.
func fixSlash(s string) string {
	a, b, ok := strings.Cut(s, "/")
	if !ok || !plainInt(a) || !plainInt(b) {
		return s
	}
	return `\frac{` + a + "}{" + b + "}"
}

// plainInt tells whether s is what Python prints for some integer.
func plainInt(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	if digits == "0" {
		return len(s) == 1
	}
	if digits == "" || digits[0] == '0' || len(digits) > maxIntDigits {
		return false
	}
	for i := 0; i < len(digits); i++ {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return true
}
