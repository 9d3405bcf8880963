package dashboard

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

const secret = "0123456789abcdef"

// Who is answered, by token and by the name that is asked for.
func TestServer(t *testing.T) {
	for _, c := range []struct {
		name, token, given, host, path string
		want                           int
	}{
		{"here", "", "", "127.0.0.1:8501", "/metrics", 200},
		{"here by name, another port", "", "", "localhost", "/metrics", 200},
		{"here by IPv6", "", "", "[::1]:8501", "/metrics", 200},
		{"a page that calls this machine its own", "", "", "evil.example:8501", "/metrics", 403},
		{"whose health is no secret, but closed there too", "", "", "evil.example", "/healthz", 403},
		{"with the token", secret, secret, "gpu-host:8501", "/metrics", 200},
		{"without", secret, "", "gpu-host:8501", "/metrics", 401},
		{"with another", secret, secret + "0", "gpu-host:8501", "/metrics", 401},
		{"health without", secret, "", "gpu-host:8501", "/healthz", 200},
		{"nothing there", "", "", "localhost", "/none", 404},
		{"nothing there, which only who has the token learns", secret, "", "localhost", "/none", 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New(c.token)
			s.Handle("GET /metrics", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil)
			r.Host = c.host
			if c.given != "" {
				r.Header.Set("Authorization", "Bearer "+c.given)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("%d, want %d: %s", w.Code, c.want, w.Body)
			}
		})
	}
}
