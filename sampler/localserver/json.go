package localserver

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-json"
)

// maxDepth bounds the nesting of a body; Python's parser gives up near it.
const maxDepth = 900

// maxNames bounds the members of all objects of a body together, which cost
// far more memory than their bytes.
const maxNames = 1 << 19

// kind is a JSON type.
type kind int

const (
	kindNone kind = iota // not there
	kindNull
	kindBool
	kindInt
	kindFloat // with NaN, Infinity and -Infinity, which Python's JSON has
	kindString
	kindList
	kindObject
)

// syntaxError is a body that is no JSON, in the words of Python's parser.
type syntaxError struct {
	message string
	at      int // bytes before it
}

// scanner checks JSON as Python's parser does and finds where values end; it
// makes nothing of them.
type scanner struct {
	b       []byte
	err     *syntaxError
	tooDeep bool // or too many members
	names   int
}

func (s *scanner) fail(message string, at int) int {
	if s.err == nil {
		s.err = &syntaxError{message, at}
	}
	return -1
}

// document scans a whole body; false means that s.err or s.tooDeep says why not.
func (s *scanner) document() bool {
	i := s.value(s.space(0), 0)
	if i >= 0 {
		if i = s.space(i); i < len(s.b) {
			s.fail("Extra data", i)
		}
	}
	return s.err == nil && !s.tooDeep
}

func (s *scanner) space(i int) int {
	for i < len(s.b) && (s.b[i] == ' ' || s.b[i] == '\t' || s.b[i] == '\n' || s.b[i] == '\r') {
		i++
	}
	return i
}

func (s *scanner) has(i int, word string) bool { return bytes.HasPrefix(s.b[i:], []byte(word)) }

// value scans the value at i and gives its end, -1 after an error.
func (s *scanner) value(i, depth int) int {
	if i >= len(s.b) {
		return s.fail("Expecting value", len(s.b))
	}
	if depth > maxDepth {
		s.tooDeep = true
		return -1
	}
	switch c := s.b[i]; {
	case c == '"':
		return s.text(i)
	case c == '{':
		return s.members(i, depth, nil)
	case c == '[':
		return s.elements(i, depth, nil)
	case c == '-' || c >= '0' && c <= '9':
		if s.has(i, "-Infinity") {
			return i + len("-Infinity")
		}
		if end := number(s.b, i); end > 0 {
			return end
		}
	default:
		for _, word := range []string{"null", "true", "false", "NaN", "Infinity"} {
			if s.has(i, word) {
				return i + len(word)
			}
		}
	}
	return s.fail("Expecting value", i)
}

// number is the end of the number at i, -1 if there is none.
func number(b []byte, i int) int {
	digits := func() int {
		n := 0
		for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
			n++
		}
		return n
	}
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if digits() == 0 {
		return -1
	}
	end := i
	if i < len(b) && b[i] == '.' {
		if i++; digits() == 0 {
			return end
		}
		end = i
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if digits() == 0 {
			return end
		}
		end = i
	}
	return end
}

func (s *scanner) text(start int) int {
	for i := start + 1; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return s.fail("Invalid control character at", i)
		case c != '\\':
		case i+1 >= len(s.b):
			return s.fail("Unterminated string starting at", start)
		case s.b[i+1] == 'u':
			if !isHex(s.b[i+2:]) {
				return s.fail(`Invalid \uXXXX escape`, i+1)
			}
			i += 5
		case bytes.IndexByte([]byte(`"\/bfnrt`), s.b[i+1]) < 0:
			return s.fail(`Invalid \escape`, i)
		default:
			i++
		}
	}
	return s.fail("Unterminated string starting at", start)
}

func isHex(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	for _, c := range b[:4] {
		if strings.IndexByte("0123456789abcdefABCDEF", c) < 0 {
			return false
		}
	}
	return true
}

// members scans the object at i and tells each member to f, if there is one.
func (s *scanner) members(i, depth int, f func(key string, value []byte)) int {
	const noName = "Expecting property name enclosed in double quotes"
	if i = s.space(i + 1); i < len(s.b) && s.b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(s.b) || s.b[i] != '"' {
			return s.fail(noName, i)
		}
		if s.names++; s.names > maxNames {
			s.tooDeep = true
			return -1
		}
		key := i
		if i = s.text(i); i < 0 {
			return -1
		}
		name := s.b[key:i]
		if i = s.space(i); i >= len(s.b) || s.b[i] != ':' {
			return s.fail("Expecting ':' delimiter", i)
		}
		start := s.space(i + 1)
		if i = s.value(start, depth+1); i < 0 {
			return -1
		}
		if f != nil {
			f(unquote(name), s.b[start:i])
		}
		i = s.space(i)
		switch {
		case i < len(s.b) && s.b[i] == '}':
			return i + 1
		case i >= len(s.b) || s.b[i] != ',':
			return s.fail("Expecting ',' delimiter", i)
		}
		i = s.space(i + 1)
	}
}

// elements is members for a list.
func (s *scanner) elements(i, depth int, f func(value []byte)) int {
	if i = s.space(i + 1); i < len(s.b) && s.b[i] == ']' {
		return i + 1
	}
	for {
		start := i
		if i = s.value(i, depth+1); i < 0 {
			return -1
		}
		if f != nil {
			f(s.b[start:i])
		}
		i = s.space(i)
		switch {
		case i < len(s.b) && s.b[i] == ']':
			return i + 1
		case i >= len(s.b) || s.b[i] != ',':
			return s.fail("Expecting ',' delimiter", i)
		}
		i = s.space(i + 1)
	}
}

// kindOf is the type of a scanned value.
func kindOf(raw []byte) kind {
	if len(raw) == 0 {
		return kindNone
	}
	switch raw[0] {
	case 'n':
		return kindNull
	case 't', 'f':
		return kindBool
	case '"':
		return kindString
	case '[':
		return kindList
	case '{':
		return kindObject
	case 'N', 'I':
		return kindFloat
	}
	if bytes.ContainsAny(raw, ".eEI") {
		return kindFloat
	}
	return kindInt
}

// unquote is the text of a scanned string. Half surrogate pairs become U+FFFD.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	_ = json.Unmarshal(raw, &s) // it was scanned
	return s
}

// lonely tells whether a scanned string has half a surrogate pair, which is no
// text and which Python's parser lets pass.
func lonely(raw []byte) bool {
	if !bytes.Contains(raw, []byte(`\u`)) {
		return false
	}
	high := false // the last character was the first half of a pair
	for i := 1; i < len(raw)-1; i++ {
		unit := int64(0)
		if raw[i] == '\\' {
			if i++; raw[i] == 'u' {
				unit, _ = strconv.ParseInt(string(raw[i+1:i+5]), 16, 32)
				i += 4
			}
		}
		low := unit >= 0xdc00 && unit < 0xe000
		if high != low {
			return true
		}
		high = unit >= 0xd800 && unit < 0xdc00
	}
	return high
}

// object gives the members of a scanned object; of two with one name the last counts.
func object(raw []byte) map[string][]byte {
	out := map[string][]byte{}
	s := scanner{b: raw}
	s.members(0, 0, func(key string, value []byte) { out[key] = value })
	return out
}

// list gives the elements of a scanned list.
func list(raw []byte) [][]byte {
	var out [][]byte
	s := scanner{b: raw}
	s.elements(0, 0, func(value []byte) { out = append(out, value) })
	return out
}

// length is how many members or elements a scanned object or list has.
func length(raw []byte) (n int) {
	if raw[0] == '{' {
		return len(object(raw))
	}
	s := scanner{b: raw}
	s.elements(0, 0, func([]byte) { n++ })
	return n
}

// characters is a position in bytes as Python counts it.
func characters(b []byte, at int) int { return utf8.RuneCount(b[:min(at, len(b))]) }
