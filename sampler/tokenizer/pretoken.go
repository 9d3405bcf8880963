package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// The three regular expressions of the tokenizer.json files that are
// supported, as they stand there. The scanners below are these patterns by
// hand: at each position the first alternative that matches wins.
const (
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// GPT-2's is built into the ByteLevel pre-tokenizer (use_regex):
	//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
)

// scanner gives the length in bytes of the first word of s, which is not empty.
type scanner func(s string) int

func scanQwen2(s string) int  { return scanTiktoken(s, 1) }
func scanLlama3(s string) int { return scanTiktoken(s, 3) }

// scanTiktoken is Qwen2's and Llama-3's pattern, which differ in how many
// number characters make a word.
func scanTiktoken(s string, maxNumbers int) int {
	c, n := classAt(s, 0)
	if s[0] == '\'' {
		if k := contraction(s, true); k > 0 {
			return k
		}
	}
	switch c { // [^\r\n\p{L}\p{N}]?\p{L}+
	case letter:
		return run(s, n, letter)
	case other, space:
		if n < len(s) {
			if next, k := classAt(s, n); next == letter {
				return run(s, n+k, letter)
			}
		}
	case number:
		for i := 1; i < maxNumbers && n < len(s); i++ {
			next, k := classAt(s, n)
			if next != number {
				break
			}
			n += k
		}
		return n
	}
	if c == other {
		return newlines(s, run(s, n, other))
	}
	if s[0] == ' ' && n < len(s) { // ` ?[^\s\p{L}\p{N}]+[\r\n]*`
		if next, k := classAt(s, n); next == other {
			return newlines(s, run(s, n+k, other))
		}
	}
	return whitespace(s, true)
}

// scanGPT2 is the ByteLevel pre-tokenizer's own pattern.
func scanGPT2(s string) int {
	c, n := classAt(s, 0)
	if s[0] == '\'' {
		if k := contraction(s, false); k > 0 {
			return k
		}
	}
	if s[0] == ' ' && n < len(s) {
		if next, k := classAt(s, n); next <= number {
			return run(s, n+k, next)
		}
	}
	if c <= number {
		return run(s, n, c)
	}
	return whitespace(s, false)
}

// digitPiece gives the length of the first piece of s under the Digits
// pre-tokenizer: one number character, or all up to the next.
func digitPiece(s string) int {
	switch end := strings.IndexFunc(s, isDigit); end {
	case -1:
		return len(s)
	case 0:
		_, n := utf8.DecodeRuneInString(s)
		return n
	default:
		return end
	}
}

// run extends a word of length n by runes of class c.
func run(s string, n int, c class) int {
	for n < len(s) {
		next, k := classAt(s, n)
		if next != c {
			break
		}
		n += k
	}
	return n
}

// newlines extends a word of length n by [\r\n]*.
func newlines(s string, n int) int {
	for n < len(s) && (s[n] == '\n' || s[n] == '\r') {
		n++
	}
	return n
}

// whitespace matches `\s*[\r\n]+` (if untilNewline), then
// `\s+(?!\S)`, then `\s+`, at the start of s, which is white space.
func whitespace(s string, untilNewline bool) int {
	n, last, lineEnd := 0, 0, 0
	for n < len(s) {
		c, k := classAt(s, n)
		if c < space {
			break
		}
		last = n
		n += k
		if c == newline {
			lineEnd = n
		}
	}
	switch {
	case untilNewline && lineEnd > 0:
		return lineEnd
	case n < len(s) && last > 0: // leave the last space to the next word
		return last
	}
	return n
}

// contraction gives the length of the English contraction that s starts with,
// the apostrophe included, or 0. Without regard to case, U+017F (ſ) is an s.
func contraction(s string, anyCase bool) int {
	if len(s) < 2 {
		return 0
	}
	fold := func(c byte) byte {
		if anyCase && 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}
	switch fold(s[1]) {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if len(s) > 2 && fold(s[2]) == 'e' {
			return 3
		}
	case 'l':
		if len(s) > 2 && fold(s[2]) == 'l' {
			return 3
		}
	case 0xc5:
		if anyCase && len(s) > 2 && s[2] == 0xbf {
			return 3
		}
	}
	return 0
}
