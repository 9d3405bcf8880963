package endpoint

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// quoting reads a body and fails with what it read, as one that quotes it would.
type quoting struct{ refuse bool }

func (r quoting) ReadBody(body io.Reader) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if r.refuse {
		return &StatusError{Method: "POST", URL: "x", Status: 500, Message: string(b)}
	}
	return fmt.Errorf("event %q", b)
}

// Some gateways say what they were sent. It must not get into an error, and so
// into a log, by any way.
func TestServersThatRepeatTheKey(t *testing.T) {
	const key, tenant = "sk-repeated-7fa1", "blue-tenant"
	headers := http.Header{"X-Tenant": {tenant}, "X-Gate": {"Token gate-93b1c"}}
	echo := func(status int, form string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			said := strings.Join([]string{r.Header.Get("Authorization"), r.Header.Get("X-Tenant"), strings.TrimPrefix(r.Header.Get("X-Gate"), "Token ")}, " ")
			if status < 400 && status >= 300 {
				w.Header().Set("Location", "https://me:"+key+"@elsewhere/"+key+"?key="+key+"#"+key)
			}
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, form, said)
		}
	}
	var into struct{ A int }
	long := strings.Repeat("x", quoted-12) + "%s" // the cut goes through the key
	for _, c := range []struct {
		name string
		h    http.HandlerFunc
		out  any
	}{
		{"a message", echo(401, `{"error":{"message":"wrong key: %[1]s","type":"%[1]s","param":"%[1]s"}}`), nil},
		{"a text", echo(403, "wrong: %s"), nil},
		{"a text that is cut in it", echo(403, strings.Repeat("y", 490)+"%s"), nil},
		{"detail", echo(422, `{"detail":[{"headers":"%s"}]}`), nil},
		{"a page", echo(404, "<html><title>%s</title>"), nil},
		{"a redirect", echo(307, "%s"), nil},
		{"no JSON", echo(200, "hello %s"), &into},
		{"no JSON, cut in the key", echo(200, long), &into},
		{"a reader's words", echo(200, "%s"), quoting{}},
		{"a reader's words, cut in the key", echo(200, long), quoting{}},
		{"a refusal in a stream", echo(200, "%s"), quoting{refuse: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := serve(t, Options{APIKey: key, Headers: headers}, c.h)
			err := e.Do(t.Context(), http.MethodPost, "/v1/x", nil, c.out)
			if err == nil {
				t.Fatal("no error")
			}
			var status *StatusError
			if errors.As(err, &status) {
				err = fmt.Errorf("%w %+v", err, *status)
			}
			for _, secret := range []string{key, tenant, "gate-93b1c", key[:8]} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s is in %v", secret, err)
				}
			}
			if !strings.Contains(err.Error(), hidden) && c.name != "a redirect" && !strings.Contains(c.name, "cut in") {
				t.Errorf("%v does not say that something was hidden", err)
			}
		})
	}
	t.Run("no HTTP", func(t *testing.T) {
		e, err := New("http://h:1", Options{APIKey: key, Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("malformed HTTP response \"" + key + "\"")
		})})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Do(t.Context(), http.MethodGet, "/", nil, nil); err == nil || strings.Contains(err.Error(), key) || !Unreachable(err) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a word that is no secret", func(t *testing.T) {
		e := serve(t, Options{APIKey: "size"}, echo(400, "Vocabulary size: 7"))
		if err := e.Do(t.Context(), http.MethodGet, "/", nil, nil); !strings.Contains(err.Error(), "Vocabulary size: 7") {
			t.Errorf("error %v", err)
		}
	})
}
