package agent

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/internal/endpoint"
)

// cutting passes TCP on to a server, and ends each connection after a number of
// answered bytes that it draws.
func cutting(t *testing.T, to string, least, most int) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var pool errgroup.Group
	ctx, cancel := context.WithCancel(context.Background())
	rng := rand.New(rand.NewPCG(1, 2))
	pool.Go(func() error {
		for {
			client, err := l.Accept()
			if err != nil {
				return nil //nolint:nilerr // the test has ended
			}
			bytes := int64(least + rng.IntN(most-least))
			pool.Go(func() error {
				server, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(to, "http://"))
				if err != nil {
					return errors.Join(err, client.Close())
				}
				end := sync.OnceFunc(func() { _, _ = client.Close(), server.Close() })
				defer end()
				defer context.AfterFunc(ctx, end)()
				pool.Go(func() error {
					_, _ = io.Copy(server, client)
					return nil
				})
				_, _ = io.CopyN(client, server, bytes)
				return nil
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(l.Close(), pool.Wait()); err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// Whatever the bytes after which a connection is cut, less than a chunk
// included, the pull ends, and nothing comes twice.
func TestPullThroughCuts(t *testing.T) {
	for name, bytes := range map[string][2]int{"within chunks": {chunk / 8, chunk / 2}, "across chunks": {chunk, 3 * chunk}} {
		t.Run(name, func(t *testing.T) {
			tr := newTrainer(t, chunk)
			want := blobs{"model.safetensors": random(12*chunk+5, 1)}
			s := tr.publish(t, 1, want)
			p := newPuller(t, cutting(t, serve(t, tr.share), bytes[0]+400, bytes[1]+400), t.TempDir()) // headers count too
			p.retry = endpoint.Retry{Tries: 1000, First: time.Microsecond, Most: time.Microsecond}
			// The manifest must come in one piece; it is as large as what is cut.
			raw := dial(t, serve(t, tr.share), nil)
			cuts := p.trainer
			p.trainer = dial(t, cuts.URL(), either{raw, cuts})
			var c counts
			got, err := p.pull(t.Context(), asked(s), &c)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
			if n := c.pulled(); n.Fetched != n.Bytes {
				t.Errorf("%d bytes fetched of %d: what had come was asked for again", n.Fetched, n.Bytes)
			}
		})
	}
}

// either sends requests for manifests one way and those for files another.
type either struct{ manifests, files *endpoint.Endpoint }

func (e either) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Range") != "" {
		return e.files.Send(r)
	}
	u := *r.URL
	u.Host = strings.TrimPrefix(e.manifests.URL(), "http://")
	r = r.Clone(r.Context())
	r.URL, r.Host = &u, u.Host
	return e.manifests.Send(r)
}

// direct has a handler answer without a network, so that the clock can be the
// bubble's.
type direct func(*http.Request) (*http.Response, error)

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) { return d(r) }

// stuck gives what it has and then nothing until the request ends.
type stuck struct {
	io.Reader
	ctx context.Context
}

func (s *stuck) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if errors.Is(err, io.EOF) {
		<-s.ctx.Done()
		return n, s.ctx.Err()
	}
	return n, err
}

func (s *stuck) Close() error { return nil }

// A connection that brings nothing for as long as Options.Stall is given up, and
// what had come of it is kept.
func TestPullThroughStalls(t *testing.T) {
	tr := newTrainer(t, chunk)
	want := blobs{"model.safetensors": random(3*chunk, 1)}
	s := tr.publish(t, 1, want)
	f, err := openFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.close() //nolint:errcheck // a test's
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		e, err := endpoint.New("http://trainer", endpoint.Options{Transport: direct(func(r *http.Request) (*http.Response, error) {
			rec := newRecorder()
			tr.share.ServeHTTP(rec, r)
			resp := &http.Response{StatusCode: rec.status, Header: rec.header, Body: io.NopCloser(strings.NewReader(rec.body.String())), Request: r}
			if ranged := r.Header.Get("Range"); ranged != "" {
				asked = append(asked, ranged)
				switch len(asked) {
				case 1: // a chunk and a half
					resp.Body = &stuck{strings.NewReader(rec.body.String()[:chunk*3/2]), r.Context()}
				case 2: // not even an answer
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
			}
			return resp, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		p := &puller{trainer: e, folder: f, stall: 30 * time.Second, retry: endpoint.Retry{Tries: 3, First: time.Second, Most: time.Second}}
		began := time.Now()
		got, err := p.pull(t.Context(), Request{Attempt: "a", Run: "run1", Version: 1, SHA256: s.SHA256}, &counts{})
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
		if took := time.Since(began); took < time.Minute || took > time.Minute+5*time.Second {
			t.Errorf("took %v, want twice the 30 s and two short waits", took)
		}
		if len(asked) != 3 || asked[0] != "bytes=0-12287" || asked[1] != "bytes=6144-12287" || asked[2] != asked[1] {
			t.Errorf("asked for %q", asked)
		}
	})
}

// A trainer that is gone is waited for as long as the patience says, and then told of.
func TestPullFromNobody(t *testing.T) {
	f, err := openFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.close() //nolint:errcheck // a test's
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int64
		e, err := endpoint.New("http://trainer", endpoint.Options{Transport: direct(func(*http.Request) (*http.Response, error) {
			tries.Add(1)
			return nil, io.EOF
		})})
		if err != nil {
			t.Fatal(err)
		}
		p := &puller{trainer: e, folder: f, stall: time.Second}
		began := time.Now()
		_, err = p.pull(t.Context(), Request{Attempt: "a", Run: "run1", Version: 1}, &counts{})
		var gone *endpoint.UnreachableError
		if !errors.As(err, &gone) || tries.Load() < 5 {
			t.Errorf("after %d tries: %v", tries.Load(), err)
		}
		if took := time.Since(began); took > 3*time.Minute {
			t.Errorf("took %v", took)
		}
	})
}
