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
		dst = s.int32Run(dst)
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

// int32Run reads the usual "1,23,": numbers of up to 9 digits with nothing but a
// comma behind them. What follows it is left to others, the last number of
// the buffer or the array for one.
func (s *Scanner) int32Run(dst []int32) []int32 {
	b := s.buf[:s.end]
	for at := s.pos; ; {
		n, i := digits(b, at, 0)
		count := i - at
		if count == 0 || count > 9 || i+1 >= len(b) || b[i] != ',' || b[i+1] <= ' ' || b[at] == '0' && count > 1 {
			s.pos = at
			return dst
		}
		dst = append(dst, int32(n))
		at = i + 1
	}
}

// Float32s reads an array of numbers and appends them to dst, each the float32
// that is nearest; one beyond float32 is a failure.
func (s *Scanner) Float32s(dst []float32) []float32 {
	begin := len(dst)
	s.Array(func(int) {
		dst = s.float32Run(dst)
		literal := s.number()
		if s.err != nil {
			return
		}
		x, err := ParseFloat32(literal)
		if err != nil {
			s.bad(fmt.Errorf("element %d: %w", len(dst)-begin, err))
			return
		}
		dst = append(dst, x)
	})
	return dst
}

// float32Run is int32Run for the usual numbers of log-probs.
func (s *Scanner) float32Run(dst []float32) []float32 {
	b := s.buf[:s.end]
	for at := s.pos; ; {
		x, n, ok := usualFloat(b[at:])
		i := at + n
		if !ok || i+1 >= len(b) || b[i] != ',' || b[i+1] <= ' ' {
			s.pos = at
			return dst
		}
		dst = append(dst, x)
		at = i + 1
	}
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
func ParseFloat32(b []byte) (float32, error) {
	if x, n, ok := usualFloat(b); ok && n == len(b) {
		return x, nil
	}
	if !valid(b) {
		return 0, fmt.Errorf("%.40q is not a number", b)
	}
	x, err := strconv.ParseFloat(string(b), 32)
	if err != nil {
		return 0, fmt.Errorf("%.40q is beyond a float32", b)
	}
	return float32(x), nil
}

// usualFloat reads the number that b begins with, of n bytes, and gives the
// float32 nearest to it, if it is a usual one.
//
// A server writes a float32 with the digits of the float64 that equals it.
// Those are divided in float64, with an error of under 2 units in the last
// place, which decides the float32 unless the result lies that near to the
// middle between two: then, and for more than 19 digits, for exponents far
// out, and for what is no number, ok is false.
func usualFloat(b []byte) (x float32, n int, ok bool) {
	i := 0
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		i = 1
	}
	first := i
	m, i := digits(b, i, 0)
	count := i - first
	if count == 0 || count > 1 && b[first] == '0' {
		return 0, 0, false
	}
	exponent := 0
	if i < len(b) && b[i] == '.' {
		from, zeros := i+1, 0
		for m == 0 && from+zeros < len(b) && b[from+zeros] == '0' {
			zeros++ // they count for nothing in m
		}
		m, i = digits(b, from+zeros, m)
		if i == from {
			return 0, 0, false
		}
		exponent = from - i
		count += i - from - zeros
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		e, sign := 0, 1
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			if b[i] == '-' {
				sign = -1
			}
			i++
		}
		from := i
		for ; i < len(b) && i < from+4 && digit(b[i]); i++ {
			e = e*10 + int(b[i]-'0')
		}
		if i == from {
			return 0, 0, false
		}
		exponent += sign * e
	}
	if count > 19 || exponent < -2*maxExact || exponent > maxExact {
		return 0, 0, false
	}
	d := float64(m)
	switch {
	case exponent > 0:
		d *= powers[exponent]
	case exponent < -maxExact:
		d = d / powers[maxExact] / powers[-exponent-maxExact]
	default:
		d /= powers[-exponent]
	}
	const half, doubt = 1 << 28, 16
	if low := math.Float64bits(d) & (2*half - 1); low-half+doubt <= 2*doubt || d < smallest && m != 0 || d > math.MaxFloat32 {
		return 0, 0, false
	}
	if negative {
		d = -d
	}
	return float32(d), i, true
}

const (
	maxExact = 22 // the largest power of ten that float64 has exactly
	smallest = 0x1p-126
)

var powers = [maxExact + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}
