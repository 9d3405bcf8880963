package guard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

const secret = "0123456789abcdef"

func TestListen(t *testing.T) {
	for address, open := range map[string]bool{
		"127.0.0.1:0": false, "[::1]:0": false, "localhost:0": false, "127.9.9.9:0": false,
		"0.0.0.0:0": true, "[::]:0": true, ":0": true, "192.0.2.1:0": true, "example.org:0": true, "localhost.example.org:0": true, "0177.0.0.1:0": true, "2130706433:0": true,
	} {
		l, err := Listen(t.Context(), address, false)
		if err == nil {
			if host, _, _ := net.SplitHostPort(l.Addr().String()); !net.ParseIP(host).IsLoopback() {
				t.Errorf("%s listens on %s", address, l.Addr())
			}
			_ = l.Close()
		}
		if open != errors.Is(err, ErrOpen) || open && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", address, err)
		}
	}
	l, err := Listen(t.Context(), "0.0.0.0:0", true)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

func TestRequireToken(t *testing.T) {
	called := 0
	h := RequireToken(secret, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called++ }))
	for header, want := range map[string]int{
		"Bearer " + secret: 200, "bearer " + secret: 200,
		"": 401, "Bearer": 401, "Bearer ": 401, secret: 401, "Basic " + secret: 401, "Bearer " + secret + "0": 401, "Bearer " + secret[1:]: 401, "Bearer  " + secret: 401,
	} {
		called = 0
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || (called == 1) != (want == 200) || strings.Contains(w.Body.String(), secret) {
			t.Errorf("%q: status %d, called %d times: %s", header, w.Code, called, w.Body)
		}
	}
}

func TestReadToken(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name, value, file, token, want string
	}{
		{"neither", "", "", "", ""},
		{"a value", secret, "", secret, ""},
		{"a file", "", write(secret + "\n"), secret, ""},
		{"both", secret, write(secret), "", "one of them"},
		{"no file", "", filepath.Join(t.TempDir(), "none"), "", "no such file"},
		{"an empty file", "", write(" \n"), "", "is empty"},
		{"two lines", "", write(secret + "\n" + secret), "", "one line"},
		{"short", "tooshort", "", "", "needs 16"},
		{"a space", "tooshort or not it has spaces", "", "", "spaces"},
	} {
		t.Run(c.name, func(t *testing.T) {
			token, err := ReadToken(c.value, c.file)
			if c.want == "" && (err != nil || token != c.token) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%q, %v", token, err)
			}
			if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "tooshort")) {
				t.Errorf("%v shows the token", err)
			}
		})
	}
}

// Over TLS, behind the token, so many at once; and nothing is left when it ends.
func TestServe(t *testing.T) {
	plain := httptest.NewTLSServer(nil) // for its certificate
	pair := plain.TLS.Certificates[0]
	pool := x509.NewCertPool()
	pool.AddCert(plain.Certificate())
	plain.Close()

	l, err := Listen(t.Context(), "127.0.0.1:0", true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	entered := make(chan struct{})
	var serving, asking errgroup.Group
	serving.Go(func() error {
		return Serve(ctx, l, Options{Token: secret, Requests: 1, TLS: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/wait" {
					entered <- struct{}{}
					<-r.Context().Done() // the end of the server's
				}
			})})
	})
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	ask := func(scheme, path, key string) (int, error) {
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, scheme+"://"+l.Addr().String()+path, nil)
		if err != nil {
			return 0, err
		}
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, nil
	}
	if status, err := ask("https", "/", secret); status != 200 {
		t.Errorf("%d, %v", status, err)
	}
	if status, err := ask("https", "/", "another"); status != 401 {
		t.Errorf("without the token: %d, %v", status, err)
	}
	if status, err := ask("http", "/", secret); status == 200 {
		t.Errorf("without TLS: %d, %v", status, err)
	}
	asking.Go(func() error {
		_, err := ask("https", "/wait", secret)
		return err
	})
	<-entered
	if status, err := ask("https", "/", secret); status != http.StatusServiceUnavailable {
		t.Errorf("a second one: %d, %v", status, err)
	}
	stop()
	if err := errors.Join(asking.Wait(), serving.Wait()); err != nil {
		t.Error(err)
	}
}

func TestCertificate(t *testing.T) {
	if c, err := Certificate("", ""); c != nil || err != nil {
		t.Errorf("%v, %v", c, err)
	}
	for _, pair := range [][2]string{{"c", ""}, {"", "k"}, {"/no/such", "/no/such"}} {
		if _, err := Certificate(pair[0], pair[1]); err == nil {
			t.Errorf("%v was let pass", pair)
		}
	}
}
