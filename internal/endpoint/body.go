package endpoint

import (
	"errors"
	"fmt"
	"io"
)

// BodyReader is an out of [Endpoint.Do] that reads a reply's body itself, as
// it comes: replies too big to be held, and streams.
type BodyReader interface {
	// ReadBody reads body to its end, or fails. Errors of body itself, which
	// are those of the connection and of [Options.MaxReply], go before its own;
	// a [*StatusError], of a stream that says so in its midst, is Do's.
	ReadBody(body io.Reader) error
}

// headSize is more than an error shows, so that a key which the start ends in is
// known as one.
const headSize = 1 << 10

// body is a reply's body within its limit. It keeps its start for an error's
// words, and its failure.
type body struct {
	r    io.Reader
	left int64
	most int64
	head []byte
	err  error
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if room := headSize - len(b.head); room > 0 {
		b.head = append(b.head, p[:min(n, room)]...)
	}
	if int64(n) > b.left {
		b.err = fmt.Errorf("reply is over the limit of %d bytes", b.most)
		return 0, b.err
	}
	b.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}
