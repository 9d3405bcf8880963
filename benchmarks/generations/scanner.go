package generations

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep values may nest, about what Python's reader bears.
const maxDepth = 900

// kind tells values apart, by their first byte.
type kind byte

const (
	absent kind = 0
	text   kind = '"'
	number kind = '0' // NaN and Infinity too
	object kind = '{'
	list   kind = '['
	truth  kind = 't' // true or false
	null   kind = 'n'
)

func (k kind) String() string {
	return map[kind]string{absent: "missing", text: "text", number: "a number", object: "an object", list: "a list", truth: "true or false", null: "null"}[k]
}

// value is one that a key has: the text decoded, anything else as it stands.
// It lives until the scanner's next line.
type value struct {
	kind  kind
	bytes []byte
}

// scanner reads lines of JSON. Its memory is used again for each.
type scanner struct {
	line    []byte
	at      int
	decoded []byte // text without its escapes; never grows while a line is read
}

// object reads a line and calls field with each key of its object and the
// value, in order. Both live until the next call of object.
func (s *scanner) object(line []byte, field func(key []byte, v value)) error {
	if !utf8.Valid(line) {
		return fmt.Errorf("byte %d is not UTF-8", invalidAt(line)+1)
	}
	s.line, s.at = line, 0
	// Text is never longer without its escapes. 8 bytes more let it be copied in words.
	if cap(s.decoded) < len(line)+8 {
		s.decoded = make([]byte, 0, len(line)+len(line)/4+8)
	}
	s.decoded = s.decoded[:0]
	s.space()
	if s.peek() != '{' {
		if s.at == len(line) {
			return errors.New("is empty")
		}
		v, err := s.value(0)
		if err == nil {
			err = fmt.Errorf("must be a JSON object, is %s", v.kind)
		}
		return err
	}
	if err := s.members(0, field); err != nil {
		return err
	}
	s.space()
	if s.at != len(line) {
		return s.fault("something follows the object")
	}
	return nil
}

// members reads an object from its brace on.
func (s *scanner) members(depth int, field func(key []byte, v value)) error {
	s.at++
	s.space()
	if s.peek() == '}' {
		s.at++
		return nil
	}
	for {
		s.space()
		if s.peek() != '"' {
			return s.fault("a key in quotes is missing")
		}
		key, err := s.text()
		if err != nil {
			return err
		}
		s.space()
		if s.peek() != ':' {
			return s.fault("a colon is missing")
		}
		s.at++
		s.space()
		v, err := s.value(depth)
		if err != nil {
			return err
		}
		field(key, v)
		s.space()
		switch s.peek() {
		case ',':
			s.at++
		case '}':
			s.at++
			return nil
		default:
			return s.fault("a comma or brace is missing")
		}
	}
}

func (s *scanner) elements(depth int) error {
	s.at++
	s.space()
	if s.peek() == ']' {
		s.at++
		return nil
	}
	for {
		s.space()
		if _, err := s.value(depth); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.at++
		case ']':
			s.at++
			return nil
		default:
			return s.fault("a comma or bracket is missing")
		}
	}
}

func (s *scanner) value(depth int) (v value, err error) {
	start := s.at
	switch c := s.peek(); {
	case c == '"':
		v.kind = text
		v.bytes, err = s.text()
		return v, err
	case (c == '{' || c == '[') && depth >= maxDepth:
		return v, fmt.Errorf("values nest deeper than %d", maxDepth)
	case c == '{':
		v.kind = object
		err = s.members(depth+1, func([]byte, value) {})
	case c == '[':
		v.kind = list
		err = s.elements(depth + 1)
	case s.word("true"), s.word("false"):
		v.kind = truth
	case s.word("null"):
		v.kind = null
	case s.word("NaN"), s.word("Infinity"), s.word("-Infinity"), s.number():
		v.kind = number
	default:
		return v, s.fault("a value is missing")
	}
	v.bytes = s.line[start:s.at]
	return v, err
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.line[s.at:], []byte(w)) {
		return false
	}
	s.at += len(w)
	return true
}

// number reads one if it is there; what it cannot take of it is the next thing's fault.
func (s *scanner) number() bool {
	i := s.at
	digits := func() bool {
		from := i
		for i < len(s.line) && s.line[i]-'0' <= 9 {
			i++
		}
		return i > from
	}
	is := func(set string) bool { return i < len(s.line) && bytes.IndexByte([]byte(set), s.line[i]) >= 0 }
	if is("-") {
		i++
	}
	if is("0") {
		i++
	} else if !digits() {
		return false
	}
	s.at = i
	if is(".") {
		if i++; !digits() {
			return true
		}
		s.at = i
	}
	if is("eE") {
		if i++; is("+-") {
			i++
		}
		if digits() {
			s.at = i
		}
	}
	return true
}

const ones = 0x0101010101010101

// special marks, with a word's bytes in little endian, those that end a run of
// plain text: the lowest set bit is that of the first of them.
func special(x uint64) uint64 {
	quote, slash := x^(ones*'"'), x^(ones*'\\')
	return ((x-ones*0x20)&^x | (quote-ones)&^quote | (slash-ones)&^slash) & (ones * 0x80)
}

// text reads a string from its quote on. It gives a part of the line if there
// is nothing to decode in it.
func (s *scanner) text() ([]byte, error) {
	s.at++
	line, i := s.line, s.at
	from, start := len(s.decoded), i
	out := s.decoded[:cap(s.decoded)]
	n := from
	for {
		for i+8 <= len(line) {
			x := binary.LittleEndian.Uint64(line[i:])
			binary.LittleEndian.PutUint64(out[n:], x)
			if m := special(x); m != 0 {
				k := bits.TrailingZeros64(m) / 8
				i, n = i+k, n+k
				break
			}
			i, n = i+8, n+8
		}
		for i < len(line) && line[i] >= 0x20 && line[i] != '"' && line[i] != '\\' {
			out[n] = line[i]
			i, n = i+1, n+1
		}
		s.at = i
		switch {
		case i == len(line):
			return nil, s.fault("text has no end")
		case line[i] == '"':
			s.at++
			if n-from == i-start {
				return line[start:i], nil
			}
			s.decoded = out[:n]
			return out[from:n:n], nil
		case line[i] < 0x20:
			return nil, s.fault("text has a control character")
		}
		if i+1 < len(line) && plain[line[i+1]] != 0 {
			out[n] = plain[line[i+1]]
			i, n = i+2, n+1
			continue
		}
		r, size, err := s.escape()
		if err != nil {
			return nil, err
		}
		i += size
		n += encode(out[n:], r)
	}
}

// plain has what a backslash and one byte stand for.
var plain = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape decodes the \u… at s.at, and says how long it is.
func (s *scanner) escape() (r rune, size int, err error) {
	rest := s.line[s.at:]
	if len(rest) < 2 {
		return 0, 0, s.fault("text has no end")
	}
	r, ok := hex4(rest)
	if !ok {
		return 0, 0, s.fault("text has an escape that JSON lacks")
	}
	if utf16.IsSurrogate(r) {
		if low, ok := hex4(rest[6:]); ok {
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				return both, 12, nil
			}
		}
	}
	return r, 6, nil
}

// hex4 reads \uXXXX at the beginning of b.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// encode is UTF-8, and for a lone surrogate what UTF-8 would be.
func encode(to []byte, r rune) int {
	if utf16.IsSurrogate(r) {
		return copy(to, []byte{0xE0 | byte(r>>12), 0x80 | byte(r>>6)&0x3F, 0x80 | byte(r)&0x3F})
	}
	return utf8.EncodeRune(to, r)
}

func (s *scanner) space() {
	for s.at < len(s.line) && (s.line[s.at] == ' ' || s.line[s.at] == '\t' || s.line[s.at] == '\n' || s.line[s.at] == '\r') {
		s.at++
	}
}

// peek is the next byte, 0 at the end (and for a NUL, which fits nowhere).
func (s *scanner) peek() byte {
	if s.at == len(s.line) {
		return 0
	}
	return s.line[s.at]
}

// syntaxError is a line that is no JSON.
type syntaxError struct {
	at   int // from 0
	what string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("not JSON: byte %d: %s", e.at+1, e.what) }

func (s *scanner) fault(what string) error { return &syntaxError{s.at, what} }

func invalidAt(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}
