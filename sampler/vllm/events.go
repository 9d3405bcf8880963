package vllm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/jsonscan"
)

// events reads server-sent events, and tells of each choice in them.
type events struct {
	url    string
	choice func(*choice) error
	id     string
	done   bool // the server has said so
}

// refusal is an error that comes as an event.
type refusal struct {
	message, kind string
	code          int
}

// errCut is a stream that ends too early.
var errCut = fmt.Errorf("the stream ended before its answers did: %w", io.ErrUnexpectedEOF)

// ReadBody implements endpoint's BodyReader. An event counts once its line is whole.
func (e *events) ReadBody(body io.Reader) error {
	lines := bufio.NewReaderSize(body, 64<<10)
	var long []byte // a line that the buffer is too small for
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, line...)
			continue
		case errors.Is(err, io.EOF):
			if !e.done {
				return errCut
			}
			return nil
		case err != nil:
			return err
		}
		if len(long) > 0 {
			long = append(long, line...)
			line = long
		}
		if err := e.line(line); err != nil {
			return err
		}
		long = long[:0]
	}
}

func (e *events) line(line []byte) error {
	line = bytes.TrimRight(line, "\r\n")
	data, ok := bytes.CutPrefix(line, []byte("data:"))
	switch {
	case len(line) == 0 || line[0] == ':' || e.done:
		return nil // the end of an event, a comment
	case !ok && !bytes.Contains(line, []byte(":")):
		return fmt.Errorf("%.60q is no line of an event stream", line)
	case !ok:
		return nil // another field
	}
	if data = bytes.TrimSpace(data); string(data) == "[DONE]" {
		e.done = true
		return nil
	}
	return e.event(data)
}

func (e *events) event(data []byte) error {
	s := jsonscan.New(bytes.NewReader(data))
	defer s.Close()
	var choices []choice
	var refused *refusal
	var prompt []int32
	s.Object(func(name []byte) {
		switch jsonscan.Field(name, "id", "choices", "error") {
		case 0:
			text(s, &e.id)
		case 1:
			s.Array(func(int) {
				var c choice
				c.read(s, &prompt)
				choices = append(choices, c)
			})
		case 2:
			refused = readRefusal(s)
		default:
			s.Skip()
		}
	})
	if err := s.End(); err != nil {
		return fmt.Errorf("event %.80q: %w", data, err)
	}
	if refused != nil {
		return &endpoint.StatusError{Method: http.MethodPost, URL: e.url, Status: refused.code, Message: endpoint.OneLine(refused.message), Type: endpoint.OneLine(refused.kind)}
	}
	for i := range choices {
		if err := e.choice(&choices[i]); err != nil {
			return err
		}
	}
	return nil
}

// readRefusal reads an error's object; what it lacks is an internal error.
func readRefusal(s *jsonscan.Scanner) *refusal {
	r := &refusal{message: "an error without an explanation, in the stream", code: http.StatusInternalServerError}
	if s.Null() {
		return nil
	}
	s.Object(func(name []byte) {
		switch jsonscan.Field(name, "message", "type", "code") {
		case 0:
			text(s, &r.message)
		case 1:
			text(s, &r.kind)
		case 2:
			if !s.Null() {
				r.code = s.Int()
			}
		default:
			s.Skip()
		}
	})
	return r
}
