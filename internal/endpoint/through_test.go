package endpoint

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestThrough(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sk" {
			http.Error(w, "no key", http.StatusUnauthorized)
			return
		}
		http.Error(w, `{"error":"not today"}`, http.StatusTeapot)
	}))
	defer srv.Close()
	e, err := New(srv.URL, Options{APIKey: "sk"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := Through(e).Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	var status *StatusError
	if !errors.As(err, &status) || status.Status != http.StatusTeapot {
		t.Fatalf("error %v, want the 418", err)
	}
	if got, want := Own(err).Error(), "GET "+srv.URL+"/x: 418: not today"; got != want {
		t.Errorf("Own says %q, want %q", got, want)
	}
	if plain := errors.New("x"); !errors.Is(Own(plain), plain) {
		t.Error("Own changed an error that is none of a client's")
	}
}
