package localserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// bodyTime is how long a client may take to send a body.
const bodyTime = time.Minute

// read gives a request's body. nil means that the request has its answer, or
// the client is gone.
func (s *Server) read(w http.ResponseWriter, r *http.Request) []byte {
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(bodyTime)) // not every writer has a connection
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.o.MaxBody))
	_ = conn.SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		(&refusal{status: http.StatusRequestEntityTooLarge, typ: "Request Entity Too Large",
			message: fmt.Sprintf("the body is larger than %d bytes: send fewer or shorter prompts in one request", s.o.MaxBody)}).write(w)
		return nil
	case err != nil:
		return nil
	case body == nil:
		return []byte{}
	}
	return body
}

// form reads a JSON body as vLLM's web framework does. nil means that the
// request has its answer, or the client is gone.
func (s *Server) form(w http.ResponseWriter, r *http.Request, typed bool) *form {
	media, _, _ := strings.Cut(strings.ToLower(r.Header.Get("Content-Type")), ";")
	if typed && media != "application/json" {
		(&refusal{status: http.StatusBadRequest, typ: "Bad Request",
			message: "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"}).write(w)
		return nil
	}
	body := s.read(w, r)
	if body == nil {
		return nil
	}
	f, bad := parseForm(body)
	if bad != nil {
		bad.write(w)
	}
	return f
}

func parseForm(body []byte) (*form, *refusal) {
	p := &problems{}
	if len(body) == 0 {
		p.add("missing", "body", "Field required", nil, "")
		return nil, p.refusal()
	}
	if !utf8.Valid(body) {
		return nil, unparsed
	}
	scan := scanner{b: body}
	if !scan.document() {
		if scan.err == nil {
			return nil, unparsed
		}
		at := characters(body, scan.err.at)
		p.add("json_invalid", fmt.Sprintf("body.%d", at), "JSON decode error", []byte("{}"), "'error': "+pyString(scan.err.message))
		return nil, p.refusal()
	}
	body = bytes.Trim(body, " \t\r\n")
	switch kindOf(body) {
	case kindObject:
		return &form{fields: object(body), at: "body", problems: p}, nil
	case kindNull:
		p.add("missing", "body", "Field required", nil, "")
	default:
		p.add("model_attributes_type", "body", "Input should be a valid dictionary or object to extract fields from", body, "")
	}
	return nil, p.refusal()
}

// deref is what a pointer points to, or otherwise.
func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// small is an int of what is far within its range or checked to be.
func small(i int64) int { return int(max(math.MinInt32, min(math.MaxInt32, i))) }
