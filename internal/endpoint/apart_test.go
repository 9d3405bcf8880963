package endpoint

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// A control call does not wait until data leaves it a connection.
func TestApartDoesNotWait(t *testing.T) {
	release := make(chan struct{})
	var keys sync.Map
	arrived := make(chan struct{}, 2)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys.Store(r.URL.Path, r.Header.Get("Authorization"))
		if r.URL.Path == "/data" {
			arrived <- struct{}{}
			<-release
		}
	}))
	defer srv.Close()
	e, err := New(srv.URL, Options{APIKey: "k", MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	control := e.Apart()
	defer control.Close()
	var data errgroup.Group
	for range 2 {
		data.Go(func() error { return e.Do(t.Context(), http.MethodPost, "/data", 1, nil) })
	}
	<-arrived
	<-arrived
	if err := control.Do(t.Context(), http.MethodPost, "/pause", nil, nil); err != nil {
		t.Errorf("a control call while all connections of the data are taken: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := e.Do(ctx, http.MethodPost, "/pause", nil, nil); err == nil {
		t.Error("the data's own pool had a third connection of two: the test tests nothing")
	}
	close(release)
	if err := data.Wait(); err != nil {
		t.Error(err)
	}
	if key, _ := keys.Load("/pause"); key != "Bearer k" || control.URL() != e.URL() {
		t.Errorf("key %v, URL %s", key, control.URL())
	}
}

func TestApartOverHTTP2(t *testing.T) {
	var mu sync.Mutex
	from := map[string]string{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from[r.URL.Path] = r.Proto + " " + r.RemoteAddr
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	e, err := New(srv.URL, Options{TLS: srv.Client().Transport.(*http.Transport).TLSClientConfig})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	control := e.Apart()
	defer control.Close()
	for path, e := range map[string]*Endpoint{"/data": e, "/control": control} {
		if err := e.Do(t.Context(), http.MethodGet, path, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if from["/data"] == from["/control"] || from["/data"][:8] != "HTTP/2.0" || from["/control"][:8] != "HTTP/2.0" {
		t.Errorf("connections %v, want two of HTTP/2", from)
	}
}

func TestApartKeepsATransport(t *testing.T) {
	rt := roundTripFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
	})
	e, err := New("http://h", Options{Transport: rt})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Apart().Do(t.Context(), http.MethodGet, "/x", nil, nil); err != nil {
		t.Error(err)
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
