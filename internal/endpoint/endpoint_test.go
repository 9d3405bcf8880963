package endpoint

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestNewNormalizesAddress(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "http://127.0.0.1:8000", "http://127.0.0.1:8000"},
		{"trailing slash", "http://127.0.0.1:8000/", "http://127.0.0.1:8000"},
		{"with /v1", "http://127.0.0.1:8000/v1", "http://127.0.0.1:8000"},
		{"with /v1/", "http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000"},
		{"https without port", "https://api.example.org/v1", "https://api.example.org"},
		{"below a path", "https://example.org/team/llm/v1/", "https://example.org/team/llm"},
		{"a path that only ends like v1", "http://h:1/modelv1", "http://h:1/modelv1"},
		{"IPv6", "http://[::1]:8000/v1", "http://[::1]:8000"},
		{"blanks around it", "  http://h:1 \n", "http://h:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := New(c.in, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if e.URL() != c.want {
				t.Errorf("URL() = %q, want %q", e.URL(), c.want)
			}
		})
	}
}

func TestNewRefusesAddress(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "neither http:// nor https://"},
		{"host without scheme", "localhost:8000", "neither http:// nor https://"},
		{"another scheme", "grpc://h:1", "neither http:// nor https://"},
		{"no host", "http://:8000", "no host"},
		{"a port that is none", "http://h:99999", "its port is none"},
		{"port 0", "http://h:0", "its port is none"},
		{"query", "http://h:1?x=hunter2", "has a query"},
		{"query below a path", "https://h/v1?key=hunter2", "\"https://h/v1?…\": has a query"},
		{"empty query", "http://h:1?", "has a query"},
		{"fragment", "http://h:1#hunter2", "\"http://h:1#…\": has a query or fragment"},
		{"query without scheme", "h:1?key=hunter2", "neither http:// nor https://"},
		{"query in what is no URL", "http://h:port?key=hunter2", "not a URL"},
		{"query with an @", "http://h:1?key=me@hunter2", "has a query"},
		{"password and query", "http://me:hunter2@h:1?key=hunter2", "user or password"},
		{"password with a ?", "http://me:hunter2?hunter2@h:1", "not a URL"},
		{"password", "http://me:hunter2@h:1", "user or password"},
		{"password in what is no URL", "http://me:hunter2@h:port", "not a URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.in, Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "http://host:port") {
				t.Fatalf("error %v, want one about %q that shows the right form", err, c.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v shows the password or key", err)
			}
		})
	}
	for _, key := range []string{"a\nb", "sk-1\t2", "sk-1 2", "\ufeffsk-12", "sk-é", "sk-\x00", "sk-\x7f"} {
		if _, err := New("http://h:1", Options{APIKey: key}); err == nil || strings.Contains(err.Error(), "sk-") {
			t.Errorf("the key %q: %v", key, err)
		}
	}
}

func TestKeyIsSentAndNeverShown(t *testing.T) {
	const key = "sk-very-secret"
	var got atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"Unauthorized"}`))
	}))
	defer srv.Close()
	e, err := New(srv.URL, Options{APIKey: key})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	refused := e.Do(t.Context(), http.MethodGet, "/v1/models", nil, nil)
	if got.Load() != "Bearer "+key {
		t.Errorf("Authorization was %q", got.Load())
	}
	srv.Close()
	gone := e.Do(t.Context(), http.MethodGet, "/v1/models", nil, nil)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, x := range []any{e, *e, refused, gone, struct{ E Endpoint }{*e}} { //nolint:govet // printing a copy is the point
			if s := fmt.Sprintf(format, x); strings.Contains(s, key) {
				t.Errorf("%s of %T shows the key: %s", format, x, s)
			}
		}
	}
}

func TestConnectionsAreReused(t *testing.T) {
	var opened atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(`{"a":1}`))
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	e, err := New(srv.URL, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var out struct{ A int }
	for range 10 {
		if err := e.Do(t.Context(), http.MethodPost, "/ok", 1, &out); err != nil {
			t.Fatal(err)
		}
		if err := e.Do(t.Context(), http.MethodPost, "/ok", 1, nil); err != nil {
			t.Fatal(err)
		}
		if err := e.Do(t.Context(), http.MethodPost, "/refuse", 1, nil); err == nil {
			t.Fatal("a 400 gave no error")
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("30 requests one after the other opened %d connections, want 1", n)
	}
}
