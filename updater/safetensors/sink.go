package safetensors

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/sha256pair"
)

// large is a tensor that is worth a goroutine of its own to write it, and no copy.
const large = 256 << 10

// piece is what is hashed at a time.
const piece = 1 << 20

// sink takes the bytes of one file.
type sink struct {
	file   io.Writer
	buffer *bufio.Writer // in front of file, for what is small
	source io.ReaderAt   // file, once the buffer is flushed
	at     int64         // where the next byte goes
	h      *hashing
	sum    hash.Hash // of the file; nil without h
}

func newSink(f *os.File, h *hashing) *sink {
	e := &eager{f: f}
	s := &sink{file: e, buffer: bufio.NewWriterSize(e, 1<<20), source: f, h: h}
	if h != nil {
		s.sum = sha256.New()
	}
	return s
}

// Write implements io.Writer, for what is no tensor.
func (s *sink) Write(b []byte) (int, error) {
	if s.sum != nil {
		s.sum.Write(b)
	}
	n, err := s.buffer.Write(b)
	s.at += int64(n)
	return n, err
}

// tensor writes b and hashes it meanwhile; b is done with when it returns.
func (s *sink) tensor(t Info, b []byte) error {
	at := s.at
	byName := s.h.begin(t)
	var g errgroup.Group
	if len(b) < large {
		if _, err := s.buffer.Write(b); err != nil {
			return err
		}
	} else {
		if err := s.buffer.Flush(); err != nil {
			return err
		}
		g.Go(func() error {
			_, err := s.file.Write(b)
			return err
		})
	}
	err := s.hash(byName, b)
	if err = errors.Join(g.Wait(), err); err != nil {
		return err
	}
	s.at += int64(len(b))
	return s.h.end(t, s, at)
}

// hash adds b to the file's sum, and to byName unless that is nil.
func (s *sink) hash(byName hash.Hash, b []byte) error {
	if s.sum == nil {
		return nil
	}
	for len(b) > 0 {
		p := b[:min(len(b), piece)]
		b = b[len(p):]
		if byName == nil {
			s.sum.Write(p)
		} else if err := sha256pair.Write(s.sum, byName, p); err != nil {
			return err
		}
	}
	return nil
}
