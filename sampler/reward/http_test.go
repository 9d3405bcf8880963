package reward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
)

// grader is a server that answers as handle does, and its verifier, which does
// not wait between its tries.
func grader(t *testing.T, path string, handle http.HandlerFunc) *HTTP {
	t.Helper()
	server := httptest.NewServer(handle)
	h, err := NewHTTP(server.URL+path, 8)
	if err != nil {
		t.Fatal(err)
	}
	h.retry.First, h.retry.Most = time.Nanosecond, time.Nanosecond
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return h
}

func TestHTTPSendsThePair(t *testing.T) {
	h := grader(t, "/a/v1/score?model=x%20y", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		want := `{"id":1,"response":"<b>\n数","ground_truth":"\"4\""}`
		if err != nil || string(body) != want || r.Method != http.MethodPost || r.URL.RequestURI() != "/a/v1/score?model=x%20y" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %q of %s: %s", r.Method, r.URL.RequestURI(), body, r.Header.Get("Content-Type"), err)
		}
		fmt.Fprint(w, `{"score":0.5,"answer":"four"}`)
	})
	if s, err := h.Verify(t.Context(), "<b>\n数", `"4"`); err != nil || s != (sampler.Score{Reward: 0.5, Correct: true, Answer: "four"}) {
		t.Errorf("%+v, %v", s, err)
	}
}

// Whatever is no score is an error; only what may pass is tried again.
func TestHTTPErrorsAreNotScores(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		tries  int32
		want   string
	}{
		{"the verifier's own", 200, `{"id":ID,"error":"no such unit"}`, 1, "it says: no such unit"},
		{"neither", 200, `{"id":ID}`, 1, "neither score nor error"},
		{"another request's", 200, `{"id":99,"score":1}`, 1, "it answers request 99, asked was 1"},
		{"no JSON", 200, `<html>`, 1, "not the JSON"},
		{"too long", 200, `{"score":1,"answer":"` + strings.Repeat("x", maxVerdict) + `"}`, 1, "over the limit"},
		{"refused", 422, `{"detail":"response: too long"}`, 1, "422: response: too long"},
		{"not found", 404, `nothing here`, 1, "404: nothing here"},
		{"moved", 302, ``, 1, "302"},
		{"broken", 500, `oops`, 3, "500: oops"},
		{"busy", 503, ``, 3, "503"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int32
			h := grader(t, "/score?key=hidden", func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				w.WriteHeader(c.status)
				fmt.Fprint(w, strings.ReplaceAll(c.body, "ID", "1"))
			})
			s, err := h.Verify(t.Context(), "x", "x")
			if err == nil || s != (sampler.Score{}) || !strings.Contains(err.Error(), c.want) || errors.Is(err, sampler.ErrVerifyTimeout) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hidden") {
				t.Errorf("%+v, %v; want an error with %q", s, err, c.want)
			}
			if asked.Load() != c.tries {
				t.Errorf("asked %d times, want %d", asked.Load(), c.tries)
			}
		})
	}
}

func TestHTTPRecovers(t *testing.T) {
	var asked atomic.Int32
	h := grader(t, "", func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"score":-1}`)
	})
	if s, err := h.Verify(t.Context(), "x", "x"); err != nil || s.Reward != -1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestHTTPTimeouts(t *testing.T) {
	ended := make(chan struct{})
	h := grader(t, "", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server see that the client has gone
		<-r.Context().Done()
		close(ended)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if s, err := h.Verify(ctx, "x", "x"); s != (sampler.Score{}) || !errors.Is(err, sampler.ErrVerifyTimeout) {
		t.Errorf("%+v, %v", s, err)
	}
	<-ended // the request has ended on the server too
}

func TestHTTPUnreachable(t *testing.T) {
	h, err := NewHTTP("http://127.0.0.1:1/score", 1)
	if err != nil {
		t.Fatal(err)
	}
	h.retry.First = time.Nanosecond
	_, err = h.Verify(t.Context(), "x", "x")
	var unreachable *endpoint.UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "http://127.0.0.1:1/score") {
		t.Errorf("%v", err)
	}
}

func TestHTTPManyAtOnce(t *testing.T) {
	h := grader(t, "", func(w http.ResponseWriter, r *http.Request) {
		var q request
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, `{"id":"%d","score":1,"answer":%q}`, q.ID, q.Response)
	})
	var g errgroup.Group
	for i := range 100 {
		g.Go(func() error {
			if s, err := h.Verify(t.Context(), fmt.Sprint(i), ""); err != nil || s.Answer != fmt.Sprint(i) {
				return fmt.Errorf("%d: %+v, %w", i, s, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestNewHTTPRefuses(t *testing.T) {
	for _, address := range []string{"", "localhost:80", "ftp://x/y", "http://", "http://me:secret@x/", "http://x/#here", "http://[::1"} {
		if _, err := NewHTTP(address, 1); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
