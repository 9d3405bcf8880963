package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// byteRune gives the printable rune that stands for byte b in a byte-level
// vocabulary (GPT-2's table): printable Latin-1 stands for itself, the other
// bytes for U+0100 and up, in order.
func byteRune(b byte) rune {
	switch {
	case b <= 0x20:
		return 0x100 + rune(b)
	case b >= 0x7f && b <= 0xa0:
		return 0x121 + rune(b-0x7f)
	case b == 0xad:
		return 0x143
	}
	return rune(b)
}

// runeByte is the inverse of byteRune; ok is false outside the alphabet.
func runeByte(r rune) (b byte, ok bool) {
	switch {
	case r < 0 || r > 0x143:
		return 0, false
	case r >= 0x100 && r <= 0x120:
		return byte(r - 0x100), true
	case r >= 0x121 && r <= 0x142:
		return byte(r-0x121) + 0x7f, true
	case r == 0x143:
		return 0xad, true
	}
	b = byte(r)
	return b, byteRune(b) == r
}

// tokenBytes translates a vocabulary entry to the bytes that it stands for;
// ok is false if a rune of it is outside the alphabet.
func tokenBytes(token string) (raw string, ok bool) {
	buf := make([]byte, 0, len(token))
	for _, r := range token {
		b, ok := runeByte(r)
		if !ok {
			return "", false
		}
		buf = append(buf, b)
	}
	return string(buf), true
}

// lossyUTF8 replaces each maximal part of an ill-formed sequence by U+FFFD, as
// Rust's from_utf8_lossy and Python's errors="replace" do (Unicode 15 §3.9;
// strings.ToValidUTF8 differs: it replaces a whole run by one).
func lossyUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var out strings.Builder
	out.Grow(len(s) + 8)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r != utf8.RuneError || n > 1 {
			out.WriteString(s[i : i+n])
			i += n
			continue
		}
		out.WriteString("\uFFFD")
		i += illFormed(s[i:])
	}
	return out.String()
}

// illFormed gives the length of the maximal part at the start of s, which does
// not start with a valid rune: a truncated prefix of one, or a single byte.
func illFormed(s string) int {
	want, low, high := 0, byte(0x80), byte(0xbf)
	switch c := s[0]; {
	case c >= 0xc2 && c <= 0xdf:
		want = 1
	case c >= 0xe0 && c <= 0xef:
		want = 2
		switch c {
		case 0xe0:
			low = 0xa0
		case 0xed:
			high = 0x9f
		}
	case c >= 0xf0 && c <= 0xf4:
		want = 3
		switch c {
		case 0xf0:
			low = 0x90
		case 0xf4:
			high = 0x8f
		}
	}
	n := 1
	for n <= want && n < len(s) && s[n] >= low && s[n] <= high {
		n, low, high = n+1, 0x80, 0xbf
	}
	return n
}
