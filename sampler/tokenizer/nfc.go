package tokenizer

import (
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// nfc normalises s to Unicode's form C as Hugging Face's tokenizers do.
//
// Package norm only tells what is normal already, and supplies the tables: its
// own String inserts U+034F after 30 combining marks (the stream-safe format)
// and takes a supplementary character for the one with the same low 16 bits
// when it composes; and its Unicode is newer than Hugging Face's.
func nfc(s string) string {
	if isASCII(s) || norm.NFC.IsNormalString(s) {
		return s
	}
	return compose(decompose(s))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// marked is a character with its canonical combining class.
type marked struct {
	r   rune
	ccc uint8
}

// decompose gives the canonical decomposition of s, each run of marks sorted
// by combining class (UAX 15, D68 and D109).
func decompose(s string) []marked {
	out := make([]marked, 0, len(s))
	first := -1 // of the run of marks that out ends in
	add := func(r rune) {
		m := marked{r, combiningClass(r)}
		if m.ccc > 0 && first < 0 {
			first = len(out)
		}
		if m.ccc == 0 && first >= 0 {
			sortMarks(out[first:])
			first = -1
		}
		out = append(out, m)
	}
	var buf [utf8.UTFMax]byte
	for _, r := range s {
		if r < utf8.RuneSelf || r == compositeSince9 {
			add(r)
			continue
		}
		for _, d := range norm.NFD.String(string(utf8.AppendRune(buf[:0], r))) {
			add(d)
		}
	}
	if first >= 0 {
		sortMarks(out[first:])
	}
	return out
}

func sortMarks(ms []marked) {
	slices.SortStableFunc(ms, func(a, b marked) int { return int(a.ccc) - int(b.ccc) })
}

// compose joins each starter with the marks, and the starter, that follow it
// unblocked and have a primary composite with it (UAX 15, D117).
func compose(ms []marked) string {
	out := make([]rune, 0, len(ms))
	starter := -1  // index in out of the last character of class 0
	var last uint8 // class of out's last character
	for _, m := range ms {
		if starter >= 0 && (starter == len(out)-1 || last < m.ccc) {
			if c, ok := composePair(out[starter], m.r); ok {
				out[starter] = c
				continue
			}
		}
		out = append(out, m.r)
		if last = m.ccc; m.ccc == 0 {
			starter = len(out) - 1
		}
	}
	return string(out)
}

// composePair gives the primary composite of two characters, if there is one.
func composePair(a, b rune) (rune, bool) {
	if b < 0x300 {
		return 0, false
	}
	pair := string([]rune{a, b})
	composed := norm.NFC.String(pair)
	r, n := utf8.DecodeRuneInString(composed)
	if n != len(composed) || composed == pair {
		return 0, false
	}
	return r, r != compositeSince9 && norm.NFD.String(composed) == norm.NFD.String(pair)
}

// compositeSince9 is the one character after Unicode 9, to 15, that decomposes.
const compositeSince9 = 0x11938

// combiningClass is that of Unicode 9, which Hugging Face's normaliser has:
// there later marks are unassigned, and so do not move.
func combiningClass(r rune) uint8 {
	if r < 0x300 || unicode.Is(marksSince9, r) {
		return 0
	}
	return norm.NFD.PropertiesString(string(r)).CCC()
}

// marksSince9 are the characters after Unicode 9, to 15, whose combining class is not 0.
var marksSince9 = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x07fd, 0x07fd, 1}, {0x0898, 0x089f, 1}, {0x08ca, 0x08d3, 1}, {0x09fe, 0x09fe, 1}, {0x0c3c, 0x0c3c, 1},
		{0x0d3b, 0x0d3c, 1}, {0x0eba, 0x0eba, 1}, {0x1715, 0x1715, 1}, {0x1abf, 0x1ace, 1}, {0x1df6, 0x1dfa, 1},
		{0xa82c, 0xa82c, 1},
	},
	R32: []unicode.Range32{
		{0x10d24, 0x10d27, 1}, {0x10eab, 0x10eac, 1}, {0x10efd, 0x10eff, 1}, {0x10f46, 0x10f50, 1}, {0x10f82, 0x10f85, 1},
		{0x11070, 0x11070, 1}, {0x1133b, 0x1133b, 1}, {0x1145e, 0x1145e, 1}, {0x11839, 0x1183a, 1}, {0x1193d, 0x1193e, 1},
		{0x11943, 0x11943, 1}, {0x119e0, 0x119e0, 1}, {0x11a34, 0x11a34, 1}, {0x11a47, 0x11a47, 1}, {0x11a99, 0x11a99, 1},
		{0x11d42, 0x11d45, 1}, {0x11d97, 0x11d97, 1}, {0x11f41, 0x11f42, 1}, {0x16ff0, 0x16ff1, 1}, {0x1e08f, 0x1e08f, 1},
		{0x1e130, 0x1e136, 1}, {0x1e2ae, 0x1e2ae, 1}, {0x1e2ec, 0x1e2ef, 1}, {0x1e4ec, 0x1e4ef, 1},
	},
}
