package jsonscan

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	bufferSize = 64 << 10
	// maxDepth is encoding/json's.
	maxDepth = 10000
	// emptyReads is how often a reader may give nothing, and no error, in a row.
	emptyReads = 100
)

// Scanner reads one JSON document. The first failure stays: every call after
// it does nothing, and [Scanner.End] returns it. It is for one goroutine.
type Scanner struct {
	r        io.Reader
	buf      []byte
	pos, end int   // what is read and not used: buf[pos:end]
	base     int64 // bytes of the document before buf
	eof      bool
	depth    int
	err      error
	key      []byte // of names that have escapes, or are cut by the buffer's end
	kinds    []byte // what closes the objects and arrays that Skip is in
}

var pool = sync.Pool{New: func() any { return &Scanner{buf: make([]byte, bufferSize)} }}

// New takes a Scanner of r from a pool; [Scanner.Close] gives it back.
func New(r io.Reader) *Scanner {
	s, _ := pool.Get().(*Scanner) // nothing else is in it
	s.Reset(r)
	return s
}

// Reset begins with another document.
func (s *Scanner) Reset(r io.Reader) {
	s.r, s.pos, s.end, s.base, s.eof, s.depth, s.err = r, 0, 0, 0, false, 0, nil
}

// Close gives the Scanner back to the pool; it must not be used after.
func (s *Scanner) Close() {
	s.r = nil
	if len(s.buf) > bufferSize {
		s.buf = make([]byte, bufferSize) // a number longer than any has made it grow
	}
	pool.Put(s)
}

// Err is the first failure so far.
func (s *Scanner) Err() error { return s.err }

// Fail makes err the first failure if there is none yet.
func (s *Scanner) Fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.pos, s.end, s.eof = 0, 0, true // nothing more is read
}

// End checks that nothing but white space follows, reads it, and returns the first failure.
func (s *Scanner) End() error {
	for s.err == nil {
		for s.pos < s.end {
			if c := s.buf[s.pos]; !space(c) {
				s.invalid(c, "after the top-level value")
				return s.err
			}
			s.pos++
		}
		if !s.more() {
			break
		}
	}
	return s.err
}

// failf is Fail with the offset in the document.
func (s *Scanner) failf(format string, args ...any) {
	if s.err == nil {
		s.Fail(fmt.Errorf("byte %d: %w", s.base+int64(s.pos), fmt.Errorf(format, args...)))
	}
}

// invalid fails because of c, which is at s.pos; 0 may be the end of the input.
func (s *Scanner) invalid(c byte, where string) {
	if s.err == nil {
		s.failf("invalid character %q %s", c, where)
	}
}

// errCut is a document that ends too early.
var errCut = fmt.Errorf("the JSON ends in the middle: %w", io.ErrUnexpectedEOF)

// more reads on once everything in the buffer is used; false is the end or a failure.
func (s *Scanner) more() bool {
	s.base += int64(s.end)
	s.pos, s.end = 0, 0
	return s.read()
}

// keep reads on and moves what is from start on to the buffer's front.
func (s *Scanner) keep(start int) bool {
	if start == 0 && s.end == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	s.base += int64(start)
	n := copy(s.buf, s.buf[start:s.end])
	s.pos, s.end = s.pos-start, n
	return s.read()
}

// read appends to the buffer.
func (s *Scanner) read() bool {
	for range emptyReads {
		if s.eof {
			return false
		}
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		if err != nil {
			s.eof = true
			if !errors.Is(err, io.EOF) {
				s.Fail(err)
				return false
			}
		}
		if n > 0 {
			return true
		}
	}
	s.Fail(io.ErrNoProgress)
	return false
}

// peek is the next byte, unused; 0, which is valid nowhere, at the end.
func (s *Scanner) peek() byte {
	if s.pos < s.end {
		return s.buf[s.pos]
	}
	return s.peekMore()
}

func (s *Scanner) peekMore() byte {
	if s.more() {
		return s.buf[0]
	}
	s.failf("%w", errCut)
	return 0
}

// token is the next byte after white space, unused.
func (s *Scanner) token() byte {
	if s.pos < s.end {
		if c := s.buf[s.pos]; c > ' ' {
			return c
		}
	}
	return s.tokenAfterSpace()
}

func (s *Scanner) tokenAfterSpace() byte {
	for {
		for ; s.pos < s.end; s.pos++ {
			if c := s.buf[s.pos]; !space(c) {
				return c
			}
		}
		if !s.more() {
			s.failf("%w", errCut)
			return 0
		}
	}
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// word reads a literal.
func (s *Scanner) word(w string) {
	for i := range len(w) {
		if c := s.peek(); c != w[i] {
			s.invalid(c, "in literal "+w)
			return
		}
		s.pos++
	}
}

// enter counts the depth.
func (s *Scanner) enter() bool {
	if s.depth++; s.depth > maxDepth {
		s.failf("exceeded max depth")
	}
	return s.err == nil
}
