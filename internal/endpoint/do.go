package endpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/goccy/go-json"
)

// Do sends one request, once, and decodes the reply.
//
// path begins with a slash, is relative to [Endpoint.URL] and may have a
// query. in is sent as JSON, with a json.RawMessage or []byte as it is, nil
// as no body. A 2xx reply is decoded into out; nil discards it, a *[]byte
// takes it as it is, a [BodyReader] reads it as it comes.
//
// Errors are a [*StatusError] (the server refused), an [*UnreachableError]
// (no answer came), a [*ReplyError] (the answer was cut or is not what it
// should be), or ctx's cause. See [Retryable].
func (e *Endpoint) Do(ctx context.Context, method, path string, in, out any) error {
	body, err := encode(in)
	if err != nil {
		return fmt.Errorf("%s %s: encode request: %w", method, e.URL()+bare(path), err)
	}
	var rd io.Reader
	if body != nil {
		rd = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, e.URL()+path, rd)
	if err != nil {
		return fmt.Errorf("%s %s: not a path of a URL", method, e.URL()+bare(path)) // err has all of it
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := e.Send(req) //nolint:bodyclose // drain closes it
	if err != nil {
		return err
	}
	defer drain(resp.Body)
	return e.decode(resp, out)
}

// Send is the layer below [Endpoint.Do], for clients that build their own
// requests: it adds the key and turns every failure, a status outside 2xx
// included, into this package's errors. On success the caller closes the body.
func (e *Endpoint) Send(req *http.Request) (*http.Response, error) {
	e.auth(req.Header)
	resp, err := e.client.Do(req)
	if err != nil {
		err = TransportError(req, err)
		// Not one in its chain: that is another request's, which has ended the context.
		if gone, ours := err.(*UnreachableError); ours { //nolint:errorlint // see above
			gone.Err = e.conceal(gone.Err) // it may quote an answer that is no HTTP
		}
		return nil, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		err := newStatusError(req, resp, e.hide)
		drain(resp.Body)
		if resp.StatusCode >= http.StatusInternalServerError {
			// uvicorn (vLLM, SGLang) closes the connection after an exception without
			// having said so: what is sent next must not go into it, or a server that
			// is there looks gone.
			e.Close() // what is idle; it can be used again
		}
		return nil, err
	}
	return resp, nil
}

// bare is a path without its query.
func bare(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return path
}

func encode(in any) ([]byte, error) {
	switch v := in.(type) {
	case nil:
		return nil, nil
	case []byte:
		return v, nil
	case json.RawMessage:
		return v, nil
	default:
		return json.MarshalWithOption(v, json.DisableHTMLEscape())
	}
}

func (e *Endpoint) decode(resp *http.Response, out any) error {
	if out == nil {
		return nil
	}
	fail := func(err error) error {
		if cause := context.Cause(resp.Request.Context()); cause != nil {
			err = cause
		}
		return &ReplyError{Method: resp.Request.Method, URL: shown(resp.Request.URL), Err: err}
	}
	if reader, ok := out.(BodyReader); ok {
		body := &body{r: resp.Body, left: e.maxReply, most: e.maxReply}
		err := reader.ReadBody(body)
		var refused *StatusError
		switch {
		case errors.As(err, &refused):
			refused.Message, refused.Type, refused.Param = e.hide(refused.Message), e.hide(refused.Type), e.hide(refused.Param)
			return err // in words of its own
		case body.err != nil:
			return fail(body.err)
		case err != nil:
			return fail(fmt.Errorf("not the JSON that was asked for: %w (body begins %s)", e.conceal(err), e.Quote(body.head)))
		}
		return nil
	}
	// One byte more than allowed tells a reply that is too long from one that just fits.
	b, err := io.ReadAll(io.LimitReader(resp.Body, e.maxReply+1))
	if err != nil {
		return fail(err)
	}
	if int64(len(b)) > e.maxReply {
		return fail(fmt.Errorf("reply is over the limit of %d bytes", e.maxReply))
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = b
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fail(fmt.Errorf("not the JSON that was asked for: %w (body begins %s)", e.conceal(err), e.Quote(b)))
	}
	return nil
}

// drain reads a little of what is left so that the connection can be used
// again, and closes the body.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}

// quoted is how many bytes of a body an error shows.
const quoted = 120

// quote shows the start of a body on one line.
func quote(b []byte) string {
	s := strings.ToValidUTF8(string(b[:min(len(b), quoted)]), "�")
	if len(b) > quoted {
		s += "…"
	}
	return fmt.Sprintf("%q", s)
}
