package jsonscan

// Skip reads any value, and checks its grammar. It runs over what is in the
// buffer, and leaves to others, one token at a time, what is not usual there:
// escapes, white space, and what the buffer's end cuts.
func (s *Scanner) Skip() {
	base := s.depth
	s.kinds = s.kinds[:0]
	b, i := s.buf[:s.end], s.pos
	key := false // a key comes next, or a value
	for {
		if i >= len(b) || b[i] <= ' ' {
			s.pos = i
			s.token()
			if s.err != nil {
				return
			}
			b, i = s.buf[:s.end], s.pos
		}
		c := b[i]
		switch {
		case c == '"':
			if end := plainString(b, i+1); end > 0 {
				i = end
			} else {
				s.pos = i
				s.skipString()
				b, i = s.buf[:s.end], s.pos
			}
			if !key {
				break
			}
			if i < len(b) && b[i] == ':' {
				i++
			} else {
				s.pos = i
				s.colon()
				b, i = s.buf[:s.end], s.pos
			}
			if s.err != nil {
				return
			}
			key = false
			continue
		case key:
			s.pos = i
			s.invalid(c, "looking for beginning of object key string")
			return
		case c == '{' || c == '[':
			if c == '{' && s.depth < maxDepth {
				if end := loneNumber(b, i+1); end > 0 {
					i = end
					break
				}
			}
			s.pos = i + 1
			if !s.enter() {
				return
			}
			s.kinds = append(s.kinds, c+2) // what closes it
			closer := s.token()
			b, i = s.buf[:s.end], s.pos
			if closer != c+2 {
				key = c == '{'
				continue
			}
		case c == '-' || digit(c):
			if end := plainNumber(b, i); end > 0 {
				i = end
			} else {
				s.pos = i
				s.skipNumber()
				b, i = s.buf[:s.end], s.pos
			}
		default:
			s.pos = i
			s.skipWord(c)
			b, i = s.buf[:s.end], s.pos
		}
		// A value has ended: what is around it goes on, or ends too.
		if s.err != nil {
			return
		}
		for {
			if s.depth == base {
				s.pos = i
				return
			}
			if i >= len(b) || b[i] <= ' ' {
				s.pos = i
				s.token()
				if s.err != nil {
					return
				}
				b, i = s.buf[:s.end], s.pos // of no white space, but maybe another control character
			}
			closer := s.kinds[len(s.kinds)-1]
			if b[i] == ',' {
				i++
				key = closer == '}'
				break
			}
			if b[i] != closer {
				s.pos = i
				if closer == '}' {
					s.invalid(b[i], "after object key:value pair")
				} else {
					s.invalid(b[i], "after array element")
				}
				return
			}
			i++
			s.depth--
			s.kinds = s.kinds[:len(s.kinds)-1]
		}
	}
}

func (s *Scanner) skipWord(c byte) {
	switch c {
	case 't':
		s.word("true")
	case 'f':
		s.word("false")
	case 'n':
		s.word("null")
	default:
		s.invalid(c, "looking for beginning of value")
	}
}

// plainString is the index after a string without escapes whose contents begin
// at i; 0 is another, or one that b cuts.
func plainString(b []byte, i int) int {
	if i = plainRun(b, i); i < len(b) && b[i] == '"' {
		return i + 1
	}
	return 0
}

// loneNumber is the index after an object of one plain name and number whose
// contents begin at i, {"a":-1.5}, as there is one a token in top_logprobs; 0 is another.
func loneNumber(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return 0
	}
	i = plainString(b, i+1)
	if i == 0 || i+1 >= len(b) || b[i] != ':' || b[i+1] <= ' ' {
		return 0
	}
	i = plainNumber(b, i+1)
	if i == 0 || b[i] != '}' {
		return 0
	}
	return i + 1
}

// plainNumber is the index after the number that begins at i; 0 is none, or one that b cuts.
func plainNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	first := i
	i = afterDigits(b, i)
	if i == first || i > first+1 && b[first] == '0' {
		return 0
	}
	if i < len(b) && b[i] == '.' {
		from := i + 1
		if i = afterDigits(b, from); i == from {
			return 0
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		from := i
		if i = afterDigits(b, from); i == from {
			return 0
		}
	}
	if i >= len(b) {
		return 0
	}
	return i
}
