package share

import (
	"io"
	"net/http"
	"time"
)

const (
	stall   = time.Minute     // without a byte that the client took
	slowest = time.Nanosecond // a byte: what is added to it
	piece   = 4 << 20         // bytes between two looks at the clock
)

// patient writes for as long as the client takes something every minute. What
// comes of a file goes from the kernel to the kernel.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func newPatient(w http.ResponseWriter) *patient {
	return &patient{w, http.NewResponseController(w)}
}

func (p *patient) Write(b []byte) (int, error) {
	p.extend()
	return p.ResponseWriter.Write(b)
}

// ReadFrom implements io.ReaderFrom, piece by piece.
func (p *patient) ReadFrom(r io.Reader) (total int64, err error) {
	left := int64(1<<63 - 1)
	if l, ok := r.(*io.LimitedReader); ok { // a limit around a limit hides the file from sendfile
		r, left = l.R, l.N
		defer func() { l.N -= total }()
	}
	for left > 0 && err == nil {
		p.extend()
		var n int64
		n, err = io.CopyN(p.ResponseWriter, r, min(piece, left))
		total, left = total+n, left-n
	}
	if err == io.EOF { //nolint:errorlint // io.CopyN gives it as it is
		err = nil
	}
	return total, err
}

func (p *patient) extend() { _ = p.control.SetWriteDeadline(time.Now().Add(stall)) } // a writer without deadlines, of a test, waits

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }
