package tokenizer

import (
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// nfc normalises s to Unicode's form C.
func nfc(s string) string {
	if isASCII(s) || norm.NFC.IsNormalString(s) {
		return s
	}
	if longMarks(s) {
		return nfcUnlimited(s)
	}
	return norm.NFC.String(s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// longMarks tells whether s may have a run of more than 30 combining
// characters. There package norm inserts U+034F (the stream-safe format),
// which Hugging Face does not.
func longMarks(s string) bool {
	count := 0
	for len(s) > 0 {
		p := norm.NFD.PropertiesString(s)
		if p.BoundaryBefore() {
			count = 0
		}
		count += max(1, utf8.RuneCount(p.Decomposition()))
		if count > 28 {
			return true
		}
		s = s[max(1, p.Size()):]
	}
	return false
}

// nfcUnlimited is form C by its definition (UAX 15), with no limit to the
// length of a run: decompose, sort each run of marks by combining class,
// compose.
func nfcUnlimited(s string) string {
	type mark struct {
		r   rune
		ccc uint8
	}
	var ms []mark
	for _, r := range s {
		for _, d := range norm.NFD.String(string(r)) {
			ms = append(ms, mark{d, norm.NFD.PropertiesString(string(d)).CCC()})
		}
	}
	for i := 0; i < len(ms); i++ {
		j := i
		for j < len(ms) && ms[j].ccc > 0 {
			j++
		}
		slices.SortStableFunc(ms[i:j], func(a, b mark) int { return int(a.ccc) - int(b.ccc) })
		i = j
	}
	out := make([]rune, 0, len(ms))
	starter := -1     // index in out of the last character of class 0
	var between uint8 // class of out's last character: a mark of no higher class is blocked
	for _, m := range ms {
		if starter >= 0 && (starter == len(out)-1 || between < m.ccc) {
			if c, ok := composePair(out[starter], m.r); ok {
				out[starter] = c
				continue
			}
		}
		out = append(out, m.r)
		if between = m.ccc; m.ccc == 0 {
			starter = len(out) - 1
		}
	}
	return string(out)
}

// composePair gives the primary composite of two characters, if there is one.
func composePair(a, b rune) (rune, bool) {
	pair := string([]rune{a, b})
	c := norm.NFC.String(pair)
	r, n := utf8.DecodeRuneInString(c)
	return r, n == len(c) && c != pair
}
