package jsonscan

import (
	"fmt"
	"math"
	"strconv"
)

func digit(c byte) bool { return c-'0' <= 9 }

// numeric are the bytes of numbers.
var numeric = func() (t [256]bool) {
	for _, c := range []byte("0123456789+-.eE") {
		t[c] = true
	}
	return t
}()

// number reads the bytes of a number, valid until the next call, or fails.
func (s *Scanner) number() []byte {
	if c := s.token(); c != '-' && !digit(c) {
		s.other(c, "a number")
		return nil
	}
	i := s.pos
	for {
		b := s.buf[:s.end]
		for i < len(b) && numeric[b[i]] {
			i++
		}
		if i < s.end {
			break
		}
		n := i - s.pos
		more := s.keep(s.pos)
		if i = n; !more {
			break
		}
	}
	literal := s.buf[s.pos:i]
	if s.err != nil {
		return nil
	}
	s.pos = i
	return literal
}

func (s *Scanner) skipNumber() {
	if literal := s.number(); !valid(literal) {
		s.notNumber(literal)
	}
}

func (s *Scanner) notNumber(literal []byte) {
	s.bad(fmt.Errorf("%.40q is not a number", literal))
}

// bad fails because of the number before s.pos, or because it is cut.
func (s *Scanner) bad(err error) {
	if s.pos == s.end && s.eof {
		err = errCut
	}
	s.failf("%w", err)
}

// valid tells whether b is a number of JSON.
func valid(b []byte) bool {
	i := 0
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case i < len(b) && digit(b[i]):
		for i < len(b) && digit(b[i]) {
			i++
		}
	default:
		return false
	}
	if i < len(b) && b[i] == '.' {
		from := i + 1
		for i = from; i < len(b) && digit(b[i]); i++ {
		}
		if i == from {
			return false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		from := i
		for ; i < len(b) && digit(b[i]); i++ {
		}
		if i == from {
			return false
		}
	}
	return i == len(b)
}

// Int reads a whole number.
func (s *Scanner) Int() int {
	literal := s.number()
	if s.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(literal), 10, strconv.IntSize)
	if err != nil || !valid(literal) {
		s.notWhole(literal)
	}
	return int(n)
}

func (s *Scanner) notWhole(literal []byte) {
	if !valid(literal) {
		s.notNumber(literal)
		return
	}
	s.bad(fmt.Errorf("%.40q is no whole number of the range", literal))
}

// Int32s reads an array of whole numbers and appends them to dst.
func (s *Scanner) Int32s(dst []int32) []int32 {
	s.Array(func(int) {
		if n, ok := s.shortInt(); ok {
			dst = append(dst, n)
			return
		}
		literal := s.number()
		if s.err != nil {
			return
		}
		n, err := strconv.ParseInt(string(literal), 10, 32)
		if err != nil || !valid(literal) {
			s.notWhole(literal)
			return
		}
		dst = append(dst, int32(n))
	})
	return dst
}

// shortInt reads the usual number: up to 9 digits, wholly in the buffer.
func (s *Scanner) shortInt() (int32, bool) {
	b := s.buf[s.pos:s.end]
	n, i := int32(0), 0
	for i < len(b) && i < 10 && digit(b[i]) {
		n = n*10 + int32(b[i]-'0')
		i++
	}
	if i == 0 || i == 10 || i == len(b) || numeric[b[i]] || b[0] == '0' && i > 1 {
		return 0, false
	}
	s.pos += i
	return n, true
}

// Float32s reads an array of numbers and appends them to dst, each the float32
// that is nearest; one beyond float32 is a failure.
func (s *Scanner) Float32s(dst []float32) []float32 {
	s.Array(func(i int) {
		literal := s.number()
		if s.err != nil {
			return
		}
		x, err := ParseFloat32(literal)
		if err != nil {
			s.bad(fmt.Errorf("element %d: %w", i, err))
			return
		}
		dst = append(dst, x)
	})
	return dst
}

// Float32 reads a number.
func (s *Scanner) Float32() float32 {
	literal := s.number()
	if s.err != nil {
		return 0
	}
	x, err := ParseFloat32(literal)
	if err != nil {
		s.bad(err)
	}
	return x
}

// ParseFloat32 is the float32 nearest to a number of JSON; an error is another
// text, or one beyond float32.
//
// A server writes a float32 with the digits of the float64 that equals it.
// Those are divided in float64, with an error of under 2 units in the last
// place, which decides the float32 unless the result lies that near to the
// middle between two: then, and for what is not usual, strconv does it.
func ParseFloat32(b []byte) (float32, error) {
	i, negative := 0, false
	if len(b) > 0 && b[0] == '-' {
		i, negative = 1, true
	}
	first := i
	var m uint64
	for ; i < len(b) && digit(b[i]); i++ {
		m = m*10 + uint64(b[i]-'0')
	}
	digits := i - first
	usual := digits == 1 || digits > 0 && b[first] != '0'
	exponent := 0
	if i < len(b) && b[i] == '.' {
		from := i + 1
		for i = from; i < len(b) && digit(b[i]); i++ {
			m = m*10 + uint64(b[i]-'0')
		}
		exponent = from - i
		digits += i - from
		usual = usual && i > from
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		e, n, sign := 0, 0, 1
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			if b[i] == '-' {
				sign = -1
			}
			i++
		}
		for ; i < len(b) && n < 4 && digit(b[i]); i++ {
			e = e*10 + int(b[i]-'0')
			n++
		}
		exponent += sign * e
		usual = usual && n > 0
	}
	if !usual || i != len(b) || digits > 19 || exponent < -2*maxExact || exponent > maxExact {
		return parseSlowly(b)
	}
	x := float64(m)
	switch {
	case exponent > 0:
		x *= powers[exponent]
	case exponent < -maxExact:
		x = x / powers[maxExact] / powers[-exponent-maxExact]
	default:
		x /= powers[-exponent]
	}
	const half, doubt = 1 << 28, 16
	if low := math.Float64bits(x) & (2*half - 1); low-half+doubt <= 2*doubt || x < smallest && m != 0 || x > math.MaxFloat32 {
		return parseSlowly(b)
	}
	if negative {
		x = -x
	}
	return float32(x), nil
}

const (
	maxExact = 22 // the largest power of ten that float64 has exactly
	smallest = 0x1p-126
)

var powers = [maxExact + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

func parseSlowly(b []byte) (float32, error) {
	if !valid(b) {
		return 0, fmt.Errorf("%.40q is not a number", b)
	}
	x, err := strconv.ParseFloat(string(b), 32)
	if err != nil {
		return 0, fmt.Errorf("%.40q is beyond a float32", b)
	}
	return float32(x), nil
}
