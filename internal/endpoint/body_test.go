package endpoint

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// reader is a BodyReader that says err after it has read.
type reader struct {
	got string
	err error
}

func (r *reader) ReadBody(body io.Reader) error {
	b, err := io.ReadAll(body)
	if r.got = string(b); err != nil {
		return err
	}
	return r.err
}

func TestBodyReader(t *testing.T) {
	odd := errors.New("odd")
	for _, c := range []struct {
		name   string
		body   string
		length int // that the reply claims
		limit  int64
		says   error
		want   string
		cut    bool
	}{
		{"all of it", "12345", 5, 5, nil, "", false},
		{"nothing", "", 0, 5, nil, "", false},
		{"over the limit", "123456", 6, 5, nil, "over the limit of 5 bytes", false},
		{"over the limit and odd", "123456", 6, 5, odd, "over the limit of 5 bytes", false},
		{"cut", "123", 5, 5, odd, "unexpected EOF", true},
		{"odd", "<p>", 3, 5, odd, `not the JSON that was asked for: odd (body begins "<p>")`, false},
		{"odd and long", strings.Repeat("x", 500), 500, 500, odd, `(body begins "` + strings.Repeat("x", 120) + `…")`, false},
		{"the JSON is cut", "{", 1, 5, io.ErrUnexpectedEOF, "unexpected EOF", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(c.length))
				_, _ = io.WriteString(w, c.body)
			}))
			defer srv.Close()
			e, err := New(srv.URL, Options{MaxReply: c.limit})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			out := &reader{err: c.says}
			err = e.Do(t.Context(), http.MethodGet, "/", nil, out)
			if c.want == "" {
				if err != nil || out.got != c.body {
					t.Errorf("read %q, %v", out.got, err)
				}
				return
			}
			var bad *ReplyError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || Retryable(err) != c.cut {
				t.Errorf("error %v (retryable %v), want a ReplyError with %q (%v)", err, Retryable(err), c.want, c.cut)
			}
		})
	}
}
