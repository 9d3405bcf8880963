package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-json"
)

// serve gives an endpoint whose server runs h.
func serve(t *testing.T, o Options, h http.HandlerFunc) *Endpoint {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	e, err := New(srv.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func TestDoSendsExactJSON(t *testing.T) {
	type body struct {
		Temperature float64 `json:"temperature"`
		N           int     `json:"n"`
		Off         bool    `json:"off"`
		Nothing     *int    `json:"nothing"`
		List        []int32 `json:"list"`
		Text        string  `json:"text"`
		Seed        int64   `json:"seed"`
	}
	for _, c := range []struct {
		name string
		in   any
		want string
	}{
		{"zero values stay", body{List: []int32{}}, `{"temperature":0,"n":0,"off":false,"nothing":null,"list":[],"text":"","seed":0}`},
		{"no HTML escapes, whole integers", body{Text: "a<b>&\u2028é\n", Seed: 1<<52 - 1, List: []int32{1}, Temperature: 0.7},
			`{"temperature":0.7,"n":0,"off":false,"nothing":null,"list":[1],"text":"a<b>&\u2028é\n","seed":4503599627370495}`},
		{"raw bytes as they are", []byte(`{"a" : 1}`), `{"a" : 1}`},
		{"raw message as it is", json.RawMessage(`[ ]`), `[ ]`},
		{"nil is no body", nil, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				if got := string(b); got != c.want {
					t.Errorf("sent     %s\nwant     %s", got, c.want)
				}
				if hasType := r.Header.Get("Content-Type") == "application/json"; hasType != (c.in != nil) {
					t.Errorf("Content-Type %q", r.Header.Get("Content-Type"))
				}
				if r.URL.Path != "/pause" || r.URL.RawQuery != "mode=keep" || r.Method != http.MethodPost {
					t.Errorf("%s %s", r.Method, r.URL)
				}
			})
			if err := e.Do(t.Context(), http.MethodPost, "/pause?mode=keep", c.in, nil); err != nil {
				t.Fatal(err)
			}
		})
	}
	e := serve(t, Options{}, func(http.ResponseWriter, *http.Request) { t.Error("a request that cannot be encoded was sent") })
	if err := e.Do(t.Context(), http.MethodPost, "/", func() {}, nil); err == nil || Retryable(err) {
		t.Errorf("encoding a func gave %v", err)
	}
}

func TestDoReadsReply(t *testing.T) {
	reply := `{"a":3,"more":[1,2]}`
	e := serve(t, Options{MaxReply: int64(len(reply))}, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(reply)) })
	var out struct{ A int }
	if err := e.Do(t.Context(), http.MethodGet, "/", nil, &out); err != nil || out.A != 3 {
		t.Errorf("decoded %+v, %v; a reply of exactly the limit must pass", out, err)
	}
	var raw []byte
	if err := e.Do(t.Context(), http.MethodGet, "/", nil, &raw); err != nil || string(raw) != reply {
		t.Errorf("raw %q, %v", raw, err)
	}
	if err := e.Do(t.Context(), http.MethodGet, "/", nil, nil); err != nil {
		t.Errorf("discarded: %v", err)
	}
}

func TestDoBadReplies(t *testing.T) {
	for _, c := range []struct {
		name  string
		h     http.HandlerFunc
		want  string
		retry bool
	}{
		{"not JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>\nhello")) }, `body begins "<html>\nhello"`, false},
		{"of another type", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"a":"x"}`)) }, "not the JSON", false},
		{"empty", func(http.ResponseWriter, *http.Request) {}, "not the JSON", false},
		{"too long", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"a":1,"b":"` + strings.Repeat("x", 2000) + `"}`))
		}, "over the limit of 1000 bytes", false},
		{"cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"a":1`))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "unexpected EOF", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := serve(t, Options{MaxReply: 1000}, c.h)
			var out struct{ A int }
			err := e.Do(t.Context(), http.MethodGet, "/x", nil, &out)
			var bad *ReplyError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), e.URL()+"/x") {
				t.Fatalf("error %v, want a ReplyError with %q and the URL", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error has more than one line: %q", err)
			}
			if Retryable(err) != c.retry {
				t.Errorf("Retryable = %v, want %v", !c.retry, c.retry)
			}
		})
	}
}

func TestDoUnreachable(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure.Config.ErrorLog = discard() // it complains about every client that does not trust it
	secure.StartTLS()
	defer secure.Close()
	closed := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer closed.Close()
	trusted := secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	late := &tls.Config{RootCAs: trusted, Time: func() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }, MinVersion: tls.VersionTLS12}
	named := &tls.Config{RootCAs: trusted, ServerName: "elsewhere.test", MinVersion: tls.VersionTLS12}
	gone := httptest.NewServer(nil)
	gone.Close()
	lookup := roundTrip(func(*http.Request) (*http.Response, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "nowhere.invalid", IsNotFound: true}
	})
	slow := roundTrip(func(*http.Request) (*http.Response, error) {
		return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded} // says that it is context.DeadlineExceeded, too
	})
	for _, c := range []struct {
		name, url string
		o         Options
		hint      string
		retry     bool
		notSent   bool
	}{
		{"nothing listens", gone.URL, Options{}, "nothing listens there", true, true},
		{"closes without an answer", closed.URL, Options{}, "closed the connection without an answer; look at its log, or use https://", true, false},
		{"unknown host", "http://nowhere.invalid:1", Options{Transport: lookup}, "check the host's name", false, true},
		{"no answer to dialling", "http://10.255.255.1:1", Options{Transport: slow}, "any firewall between", true, true},
		{"https to a plain server", strings.Replace(plain.URL, "http", "https", 1), Options{}, "use http://", false, false},
		{"certificate that is not trusted", secure.URL, Options{}, "give its CA", false, false},
		{"certificate that has run out", secure.URL, Options{TLS: late}, "renewed", false, false},
		{"certificate for another name", secure.URL, Options{TLS: named}, "another name", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := New(c.url, c.o)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			err = e.Do(t.Context(), http.MethodPost, "/v1/completions", 1, nil)
			var un *UnreachableError
			if !errors.As(err, &un) || !strings.Contains(un.Hint, c.hint) || !strings.Contains(err.Error(), un.Hint) ||
				!strings.Contains(err.Error(), c.url+"/v1/completions") {
				t.Fatalf("error %v, want an UnreachableError with the URL and the hint %q", err, c.hint)
			}
			if Retryable(err) != c.retry {
				t.Errorf("Retryable = %v, want %v", !c.retry, c.retry)
			}
			if NotSent(err) != c.notSent {
				t.Errorf("NotSent = %v, want %v", !c.notSent, c.notSent)
			}
		})
	}
	t.Run("trusted certificate", func(t *testing.T) {
		pool := secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		e, err := New(secure.URL, Options{TLS: &tls.Config{RootCAs: pool}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if err := e.Do(t.Context(), http.MethodGet, "/", nil, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestDoContext(t *testing.T) {
	why := errors.New("the user has had enough")
	started := make(chan struct{})
	ended := make(chan struct{})
	e := serve(t, Options{}, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // only then does net/http watch for the client going away
		close(started)
		<-r.Context().Done()
		close(ended)
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-started
		cancel(why)
	}()
	err := e.Do(ctx, http.MethodPost, "/", 1, nil)
	if !errors.Is(err, why) || Retryable(err) {
		t.Errorf("error %v (retryable %v), want the context's cause", err, Retryable(err))
	}
	<-ended // the server saw the client go
}

// closing counts how often idle connections are closed.
type closing struct {
	roundTrip
	closed int
}

func (c *closing) CloseIdleConnections() { c.closed++ }

// After a 500 the connection may be dead, after anything else it is not.
func TestDoLetsGoOfADeadConnection(t *testing.T) {
	for status, want := range map[int]int{http.StatusOK: 0, http.StatusNotFound: 0, http.StatusInternalServerError: 1} {
		c := &closing{roundTrip: func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader("{}"))}, nil
		}}
		e, err := New("http://fake", Options{Transport: c})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Do(t.Context(), http.MethodPost, "/x", nil, nil); StatusOf(err) != status && err != nil || c.closed != want {
			t.Errorf("%d: %v, closed %d times", status, err, c.closed)
		}
	}
}

// A request that another's failure has ended leaves that failure as it is: others
// are looking at it at the same time.
func TestDoLeavesTheCauseAlone(t *testing.T) {
	e, err := New("http://fake", Options{APIKey: "a-key-of-ours", Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, context.Canceled })})
	if err != nil {
		t.Fatal(err)
	}
	others := errors.New("quotes a-key-of-ours")
	cause := &UnreachableError{URL: "http://other", Err: others}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := e.Do(ctx, http.MethodGet, "/x", nil, nil); !errors.Is(err, cause) || cause.Err != others { //nolint:errorlint // it is the same one
		t.Errorf("%v; the cause is now of %v", err, cause.Err)
	}
}
