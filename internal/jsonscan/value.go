package jsonscan

import "strings"

// Null reads a null if that is what comes next, and tells whether it was.
func (s *Scanner) Null() bool {
	if s.token() != 'n' {
		return false
	}
	s.word("null")
	return s.err == nil
}

// Object reads an object: field is called for each name, must read its value,
// and must not keep name. Anything else is a failure.
func (s *Scanner) Object(field func(name []byte)) {
	if !s.open('{', "an object") {
		return
	}
	if s.token() == '}' {
		s.close()
		return
	}
	for s.err == nil {
		name := s.name()
		if s.err != nil {
			return
		}
		field(name)
		if !s.again('}', "after object key:value pair") {
			return
		}
	}
}

// Array reads an array: element is called for each element and must read it.
func (s *Scanner) Array(element func(i int)) {
	if !s.open('[', "an array") {
		return
	}
	if s.token() == ']' {
		s.close()
		return
	}
	for i := 0; s.err == nil; i++ {
		s.token()
		element(i)
		if !s.again(']', "after array element") {
			return
		}
	}
}

func (s *Scanner) open(c byte, what string) bool {
	if got := s.token(); got != c {
		s.other(got, what)
		return false
	}
	s.pos++
	return s.enter()
}

func (s *Scanner) close() {
	s.pos++
	s.depth--
}

// again tells whether a comma follows; if not, what closes must.
func (s *Scanner) again(end byte, where string) bool {
	switch c := s.token(); c {
	case ',':
		s.pos++
		return true
	case end:
		s.close()
	default:
		s.invalid(c, where)
	}
	return false
}

// other fails on a value of another kind than was wanted.
func (s *Scanner) other(c byte, want string) {
	kind, ok := map[byte]string{'{': "an object", '[': "an array", '"': "a string", 'n': "null", 't': "a boolean", 'f': "a boolean"}[c]
	switch {
	case ok:
		s.failf("%s in the place of %s", kind, want)
	case c == '-' || digit(c):
		s.failf("a number in the place of %s", want)
	default:
		s.invalid(c, "looking for beginning of value")
	}
}

// name reads an object's key and the colon; it is valid until the next call.
func (s *Scanner) name() []byte {
	if c := s.token(); c != '"' {
		s.invalid(c, "looking for beginning of object key string")
		return nil
	}
	start := s.pos + 1
	for i := start; i < s.end; i++ {
		if c := s.buf[i]; c == '"' {
			if i+1 < s.end && s.buf[i+1] == ':' {
				s.pos = i + 2
				return s.buf[start:i]
			}
			break
		} else if c < ' ' || c == '\\' || c >= 0x80 {
			break
		}
	}
	s.key = s.Text(s.key[:0])
	s.colon()
	return s.key
}

func (s *Scanner) colon() {
	if c := s.token(); c != ':' {
		s.invalid(c, "after object key")
		return
	}
	s.pos++
}

// Field is the index of the name that is key, as encoding/json finds a
// struct's field: letter for letter, else whatever the case; -1 if there is none.
func Field(key []byte, names ...string) int {
	for i, n := range names {
		if string(key) == n {
			return i
		}
	}
	for i, n := range names {
		if strings.EqualFold(string(key), n) {
			return i
		}
	}
	return -1
}
