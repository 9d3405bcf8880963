package jsonscan

import (
	"unicode/utf16"
	"unicode/utf8"
)

// special are the bytes that a string's plain run ends with.
var special = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

// String reads a string.
func (s *Scanner) String() string { return string(s.Text(nil)) }

// Text reads a string and appends it to dst, escapes resolved and what is no
// UTF-8 replaced, byte by byte, by U+FFFD.
func (s *Scanner) Text(dst []byte) []byte {
	if c := s.token(); c != '"' {
		s.other(c, "a string")
		return dst
	}
	s.pos++
	begin := len(dst)
	for {
		i := plainRun(s.buf[:s.end], s.pos)
		dst = append(dst, s.buf[s.pos:i]...)
		s.pos = i
		switch c := s.peek(); {
		case c == '"':
			s.pos++
			if !utf8.Valid(dst[begin:]) {
				dst = mend(dst, begin)
			}
			return dst
		case c == '\\':
			dst = s.escape(dst)
			if s.err != nil {
				return dst
			}
		case c < ' ':
			s.invalid(c, "in string literal")
			return dst
		}
	}
}

// escape reads an escape, and those after it that belong to a surrogate: a
// pair is one character, a half alone is U+FFFD, whatever follows it.
func (s *Scanner) escape(dst []byte) []byte {
	s.pos++
	var half rune // waits for its other half
	for {
		c := s.peek()
		if c != 'u' {
			if half != 0 {
				dst = utf8.AppendRune(dst, utf8.RuneError)
			}
			return s.simple(dst, c)
		}
		r := s.hex()
		if half != 0 {
			if pair := utf16.DecodeRune(half, r); pair != utf8.RuneError {
				return utf8.AppendRune(dst, pair)
			}
			dst = utf8.AppendRune(dst, utf8.RuneError)
		}
		if !utf16.IsSurrogate(r) {
			return utf8.AppendRune(dst, r)
		}
		if half = r; s.peek() != '\\' {
			return utf8.AppendRune(dst, utf8.RuneError)
		}
		s.pos++
	}
}

// simple reads an escape of one letter.
func (s *Scanner) simple(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	default:
		s.invalid(c, "in string escape code")
		return dst
	}
	s.pos++
	return append(dst, c)
}

// hex reads the u and four digits.
func (s *Scanner) hex() (r rune) {
	s.pos++
	for range 4 {
		c := s.peek()
		switch {
		case digit(c):
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			s.invalid(c, "in \\u hexadecimal character escape")
			return 0
		}
		s.pos++
	}
	return r
}

// mend replaces what is no UTF-8 in dst[begin:].
func mend(dst []byte, begin int) []byte {
	raw := append([]byte(nil), dst[begin:]...)
	dst = dst[:begin]
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		dst = utf8.AppendRune(dst, r)
		raw = raw[n:]
	}
	return dst
}

// skipString checks a string.
func (s *Scanner) skipString() {
	s.pos++
	for {
		s.pos = plainRun(s.buf[:s.end], s.pos)
		switch c := s.peek(); {
		case c == '"':
			s.pos++
			return
		case c == '\\':
			s.pos++
			if c = s.peek(); c == 'u' {
				s.hex()
			} else {
				s.key = s.simple(s.key[:0], c)
			}
			if s.err != nil {
				return
			}
		case c < ' ':
			s.invalid(c, "in string literal")
			return
		}
	}
}
