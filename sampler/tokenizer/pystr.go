package tokenizer

import (
	"errors"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// Python's methods of str, over characters where the template engine's own
// count bytes or know ASCII alone. Where a Python argument may be None, a nil
// pointer is None.

// pySpace is str.isspace of one character: Unicode's white space and, as their
// bidirectional class is B or S, the four ASCII separators.
func pySpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }

// pyIsSpace is str.isspace.
func pyIsSpace(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return !pySpace(r) }) < 0
}

// pyCut tells which characters strip removes: white space, or those of chars.
func pyCut(chars *string) func(rune) bool {
	if chars == nil {
		return pySpace
	}
	return func(r rune) bool { return strings.ContainsRune(*chars, r) }
}

// pyStrip is str.strip.
func pyStrip(s string, chars *string) string { return strings.TrimFunc(s, pyCut(chars)) }

var errEmptySeparator = errors.New("empty separator")

// pySplit is str.split; most < 0 is no limit.
func pySplit(s string, sep *string, most int) ([]string, error) {
	if sep == nil {
		return pyWords(s, most), nil
	}
	if *sep == "" {
		return nil, errEmptySeparator
	}
	if most < 0 {
		return strings.Split(s, *sep), nil
	}
	return strings.SplitN(s, *sep, most+1), nil
}

func pyWords(s string, most int) []string {
	words := []string{}
	for {
		s = strings.TrimLeftFunc(s, pySpace)
		if s == "" {
			return words
		}
		end := strings.IndexFunc(s, pySpace)
		if end < 0 || len(words) == most { // what is left keeps the space at its end
			return append(words, s)
		}
		words, s = append(words, s[:end]), s[end:]
	}
}

// pyRSplit is str.rsplit; most < 0 is no limit.
func pyRSplit(s string, sep *string, most int) ([]string, error) {
	if most < 0 {
		most = math.MaxInt
	}
	var parts []string
	switch {
	case sep == nil:
		for s = strings.TrimRightFunc(s, pySpace); s != "" && len(parts) < most; s = strings.TrimRightFunc(s, pySpace) {
			start := strings.LastIndexFunc(s, pySpace)
			_, width := utf8.DecodeRuneInString(s[max(start, 0):])
			if start < 0 {
				width, start = 0, 0
			}
			parts, s = append(parts, s[start+width:]), s[:start]
		}
		if s != "" {
			parts = append(parts, s)
		}
	case *sep == "":
		return nil, errEmptySeparator
	default:
		at := strings.LastIndex(s, *sep)
		for ; at >= 0 && len(parts) < most; at = strings.LastIndex(s, *sep) {
			parts, s = append(parts, s[at+len(*sep):]), s[:at]
		}
		parts = append(parts, s)
	}
	slices.Reverse(parts)
	return append([]string{}, parts...), nil // a list even if empty
}

// pySplitLines is str.splitlines.
func pySplitLines(s string, keepEnds bool) []string {
	lines := []string{}
	for s != "" {
		end := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
		if end < 0 {
			return append(lines, s)
		}
		_, width := utf8.DecodeRuneInString(s[end:])
		if strings.HasPrefix(s[end:], "\r\n") {
			width = 2
		}
		line := s[:end]
		if keepEnds {
			line = s[:end+width]
		}
		lines, s = append(lines, line), s[end+width:]
	}
	return lines
}

// pySlice is s[start:end] by characters, as the methods that take start and
// end clamp them; ok is false if start lies behind the end of s.
func pySlice(s string, start, end *int) (part string, from int, ok bool) {
	r := []rune(s)
	lo, hi := 0, len(r)
	clamp := func(at *int, to *int) {
		if at == nil {
			return
		}
		if *to = *at; *at < 0 {
			*to = max(0, *at+len(r))
		}
	}
	clamp(start, &lo)
	clamp(end, &hi)
	if hi = min(hi, len(r)); lo > hi {
		return "", lo, false
	}
	return string(r[lo:hi]), lo, true
}

// pyPad is the white space, or other character, that ljust and rjust add.
func pyPad(s string, width int, fill string) string {
	return strings.Repeat(fill, max(0, width-utf8.RuneCountInString(s)))
}

// pyUpper, pyLower and pyTitleChar map with Unicode's special casing: ß is SS in capitals.
func pyUpper(s string) string { return cases.Upper(language.Und).String(s) }
func pyLower(s string) string { return cases.Lower(language.Und).String(s) }

func pyTitleChar(r rune) string { return cases.Title(language.Und, cases.NoLower).String(string(r)) }

// pyCapitalize is str.capitalize.
func pyCapitalize(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return ""
	}
	return pyTitleChar(r) + pyLower(s[n:])
}

// pyTitle is str.title: a word begins at every letter after something without case.
func pyTitle(s string) string {
	var out strings.Builder
	for s != "" {
		n := strings.IndexFunc(s, pyCased)
		if n < 0 {
			break
		}
		out.WriteString(s[:n])
		r, width := utf8.DecodeRuneInString(s[n:])
		out.WriteString(pyTitleChar(r))
		s = s[n+width:]
		end := strings.IndexFunc(s, func(r rune) bool { return !pyCased(r) })
		if end < 0 {
			end = len(s)
		}
		out.WriteString(pyLower(s[:end]))
		s = s[end:]
	}
	return out.String() + s
}

func pyCased(r rune) bool {
	return unicode.In(r, unicode.Upper, unicode.Lower, unicode.Title, unicode.Other_Uppercase, unicode.Other_Lowercase)
}

// pyWordChar is what \w matches in Python's regular expressions.
func pyWordChar(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

// pyNumber spells a number as Go's parsers want it: no white space around it,
// ASCII digits, no underscores between them.
func pyNumber(s string) string {
	s = strings.Map(asciiDigit, pyStrip(s, nil))
	digit := func(i int) bool { return i >= 0 && i < len(s) && '0' <= s[i] && s[i] <= '9' }
	var out strings.Builder
	for i := range len(s) {
		if s[i] != '_' || !digit(i-1) || !digit(i+1) {
			out.WriteByte(s[i])
		}
	}
	return out.String()
}

// asciiDigit makes a decimal digit of any script 0 to 9; they come in runs of ten.
func asciiDigit(r rune) rune {
	if r < utf8.RuneSelf {
		return r
	}
	for _, run := range unicode.Nd.R16 {
		if rune(run.Lo) <= r && r <= rune(run.Hi) {
			return '0' + (r-rune(run.Lo))%10
		}
	}
	for _, run := range unicode.Nd.R32 {
		if rune(run.Lo) <= r && r <= rune(run.Hi) {
			return '0' + (r-rune(run.Lo))%10
		}
	}
	return r
}
