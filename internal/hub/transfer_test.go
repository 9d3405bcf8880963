package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
)

// cut answers the cdn's n-th request (from 1) with the head of a whole answer and
// the first have bytes of its body, and hangs up.
func cut(f *fakeHub, have int, which func(n int) bool) func(w http.ResponseWriter, r *http.Request) bool {
	n := 0
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/blob/") {
			return false
		}
		if n++; !which(n) {
			return false
		}
		body := f.files[strings.TrimPrefix(r.URL.Path, "/blob/")]
		from := 0
		if s := r.Header.Get("Range"); s != "" {
			_, _ = fmt.Sscanf(s, "bytes=%d-", &from)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(body)-1, len(body)))
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(body)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(body[from:min(from+have, len(body))])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestResumeAtEveryKindOfOffset(t *testing.T) {
	const size = 600_000
	for _, have := range []int{0, 1, 4095, 4096, 262_144, 300_001, size - 1} {
		t.Run(fmt.Sprint(have), func(t *testing.T) {
			f := newFakeHub(t)
			f.files["a.bin"], f.lfs["a.bin"] = bytesOf(size), true
			f.setFault(cut(f, have, func(n int) bool { return n <= 2 }))
			c := f.client(t, Options{})
			path, err := c.File(t.Context(), ref("a.bin"))
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, path, f.files["a.bin"])
			got := f.requests("GET cdn")
			want := 3
			if 2*have >= size {
				want = 2 // the second is cut behind the end
			}
			if len(got) != want {
				t.Fatalf("asked %q, want %d times", got, want)
			}
			if have > 0 && !strings.HasSuffix(got[1], fmt.Sprintf("bytes=%d-", have)) {
				t.Errorf("went on with %q, want from byte %d", got[1], have)
			}
		})
	}
}

// What one call has fetched, the next goes on with, even if all attempts of the first fail.
func TestResumeInTheNextCall(t *testing.T) {
	f := newFakeHub(t)
	body := bytesOf(100_000)
	f.files["a.bin"], f.lfs["a.bin"] = body, true
	f.setFault(cut(f, 10_000, func(int) bool { return true }))
	c := f.client(t, Options{})
	_, err := c.File(t.Context(), ref("a.bin"))
	wantOneLine(t, err, "cut short after 40000 of 100000 bytes", "after 4 tries")
	if !endpoint.Retryable(err) {
		t.Error("it is no fault of the server's")
	}
	partial := filepath.Join(c.repo(ref("")), "blobs", sha256Of(body)+".incomplete")
	wantFile(t, partial, body[:40_000])
	f.setFault(nil)
	f.forget()
	path, err := c.File(t.Context(), ref("a.bin"))
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, body)
	if got := f.requests("GET cdn"); len(got) != 1 || !strings.HasSuffix(got[0], "bytes=40000-") {
		t.Errorf("asked %q", got)
	}
	if _, err := os.Stat(partial); !os.IsNotExist(err) {
		t.Errorf("the part is still there: %v", err)
	}
}

// Cut after every megabyte, a transfer outlives any number of cuts: the tries
// are counted anew whenever something has come.
func TestProgressRenewsPatience(t *testing.T) {
	f := newFakeHub(t)
	f.files["a.bin"], f.lfs["a.bin"] = bytesOf(9*progressed), true
	f.setFault(cut(f, progressed, func(int) bool { return true }))
	c := f.client(t, Options{})
	path, err := c.File(t.Context(), ref("a.bin"))
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, f.files["a.bin"])
}

// What lies about as .incomplete is believed only if all hashes to the blob's name.
func TestForeignParts(t *testing.T) {
	body := bytesOf(50_000)
	for _, tc := range []struct {
		name string
		part []byte
		gets int
	}{
		{"of another file", bytesOf(20_000)[1:], 2},
		{"longer than the file", bytesOf(60_000), 1},
		{"as long as the file, but not it", bytesOf(50_001)[1:], 1},
		{"all of it", body, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeHub(t)
			f.files["a.bin"], f.lfs["a.bin"] = body, true
			c := f.client(t, Options{})
			partial := filepath.Join(c.repo(ref("")), "blobs", sha256Of(body)+".incomplete")
			if err := os.MkdirAll(filepath.Dir(partial), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(partial, tc.part, 0o666); err != nil {
				t.Fatal(err)
			}
			path, err := c.File(t.Context(), ref("a.bin"))
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, path, body)
			if got := f.requests("GET cdn"); len(got) != tc.gets {
				t.Errorf("asked %q, want %d times", got, tc.gets)
			}
		})
	}
}

func TestLies(t *testing.T) {
	body := bytesOf(50_000)
	plain := func(status int, header map[string]string, body []byte) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/blob/") {
				return false
			}
			for k, v := range header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(status)
			_, _ = w.Write(body)
			return true
		}
	}
	// withPart answers requests with a Range by the fault, others as they should be.
	withPart := func(fault func(w http.ResponseWriter, r *http.Request) bool) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool { return r.Header.Get("Range") != "" && fault(w, r) }
	}
	other := append(bytesOf(49_999), '!')
	for _, tc := range []struct {
		name  string
		part  int // bytes that are there already
		fault func(w http.ResponseWriter, r *http.Request) bool
		want  []string // nil is success
		gets  int
	}{
		{"wrong content", 0, plain(200, nil, other), []string{"/resolve/" + testCommit + "/a.bin", "SHA-256 " + sha256Of(other), "not " + sha256Of(body), "nothing of it was kept"}, 1},
		{"too long", 0, plain(200, map[string]string{"Content-Length": "50001"}, bytesOf(50_001)), []string{"50001 bytes long, expected are 50000"}, 1},
		{"too short, and complete", 0, plain(200, map[string]string{"Content-Length": "49999"}, bytesOf(49_999)), []string{"49999 bytes long, expected are 50000"}, 1},
		{"too long, in chunks", 0, func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/blob/") {
				return false
			}
			_, _ = w.Write(body)
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(body)
			return true
		}, []string{"goes on beyond its 50000 bytes"}, 1},
		{"a page in its place", 0, plain(200, map[string]string{"Content-Type": "text/html"}, body), []string{"a web page, not the file"}, 1},
		{"compressed", 0, plain(200, map[string]string{"Content-Encoding": "gzip"}, body), []string{"compressed (gzip)"}, 1},
		{"no status of a file's", 0, plain(204, nil, nil), []string{"status 204"}, 1},
		{"a part that nobody asked for", 0, plain(206, map[string]string{"Content-Range": "bytes 5-49999/50000"}, body[5:]), []string{"begins at byte 5, not 0"}, 2},
		{"all of it for a part", 1000, withPart(plain(200, nil, body)), nil, 1},
		{"416 for a part", 1000, withPart(plain(416, map[string]string{"Content-Range": "bytes */50000"}, nil)), nil, 2},
		{"another part", 1000, withPart(plain(206, map[string]string{"Content-Range": "bytes 999-49999/50000"}, body[999:])), nil, 2},
		{"a part that is not described", 1000, withPart(plain(206, nil, body[1000:])), nil, 2},
		{"a part of something longer", 1000, withPart(plain(206, map[string]string{"Content-Range": "bytes 1000-50000/50001"}, bytesOf(50_001)[1000:])), []string{"50001 bytes long, expected are 50000"}, 1},
		{"a part of unknown size", 1000, withPart(plain(206, map[string]string{"Content-Range": "bytes 1000-49999/*"}, body[1000:])), nil, 1},
		{"a part that ends before it begins", 1000, withPart(plain(206, map[string]string{"Content-Range": "bytes 1000-999/50000"}, body[1000:])), nil, 2},
		{"a part that ends behind the end", 1000, withPart(plain(206, map[string]string{"Content-Range": "bytes 1000-50000/50000"}, body[1000:])), nil, 2},
		{"a part that is shorter than it says", 1000, withPart(func(w http.ResponseWriter, r *http.Request) bool {
			from := 0
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
			to := min(from+20_000, len(body))
			return plain(206, map[string]string{"Content-Range": fmt.Sprintf("bytes %d-49999/50000", from)}, body[from:to])(w, r)
		}), nil, 3},
		{"the rest is of another file", 1000, withPart(plain(206, map[string]string{"Content-Range": "bytes 1000-49999/50000"}, other[1000:])), nil, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeHub(t)
			f.files["a.bin"], f.lfs["a.bin"] = body, true
			f.setFault(tc.fault)
			c := f.client(t, Options{})
			blobs := filepath.Join(c.repo(ref("")), "blobs")
			if tc.part > 0 {
				if err := os.MkdirAll(blobs, 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(blobs, sha256Of(body)+".incomplete"), body[:tc.part], 0o666); err != nil {
					t.Fatal(err)
				}
			}
			path, err := c.File(t.Context(), ref("a.bin"))
			if tc.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				wantFile(t, path, body)
			} else {
				wantOneLine(t, err, tc.want...)
				if _, err := os.Stat(filepath.Join(blobs, sha256Of(body))); err == nil {
					t.Error("a blob was made of it")
				}
			}
			if got := f.requests("GET cdn"); len(got) != tc.gets {
				t.Errorf("asked %q, want %d times", got, tc.gets)
			}
		})
	}
}

// What a proxy says in a file's place, with status 200, does not cost what has come.
func TestShortReplyKeepsThePart(t *testing.T) {
	f := newFakeHub(t)
	body := bytesOf(50_000)
	f.files["a.bin"], f.lfs["a.bin"] = body, true
	c := f.client(t, Options{})
	partial := filepath.Join(c.repo(ref("")), "blobs", sha256Of(body)+".incomplete")
	if err := os.MkdirAll(filepath.Dir(partial), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(partial, body[:40_000], 0o666); err != nil {
		t.Fatal(err)
	}
	f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/blob/") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"blocked": true}`))
		return true
	})
	_, err := c.File(t.Context(), ref("a.bin"))
	wantOneLine(t, err, "17 bytes long, expected are 50000")
	wantFile(t, partial, body[:40_000])
}

// Whatever is read of a Content-Range is a span within a size.
func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 7-41/42", "bytes 0-0/*", "bytes */42", "bytes -5-3/4", "bytes 1-0/9", "bytes 9-9/9", "items 0-1/2", "bytes 0-9223372036854775807/9223372036854775808"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		from, size, err := contentRange(s)
		if err == nil && (from < 0 || size < -1 || size >= 0 && from >= size) {
			t.Errorf("%q is read as from %d of %d", s, from, size)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("not one line: %q", err)
		}
	})
}

// A small file is held to git's SHA-1.
func TestSmallFileLies(t *testing.T) {
	f := newFakeHub(t)
	f.files["config.json"] = []byte(`{"a": 1}`)
	f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(`{"a": 2}`))
			return true
		}
		return false
	})
	c := f.client(t, Options{})
	_, err := c.File(t.Context(), ref("config.json"))
	wantOneLine(t, err, "git SHA-1 "+gitSHA1Of([]byte(`{"a": 2}`)), gitSHA1Of([]byte(`{"a": 1}`)))
	var sum *ChecksumError
	if !errors.As(err, &sum) {
		t.Errorf("%T", err)
	}
}

// still is a transport whose bodies stop after a few bytes, and say nothing more.
type still struct {
	head  bool // not even the head comes
	opens atomic.Int32
}

func (s *still) RoundTrip(r *http.Request) (*http.Response, error) {
	s.opens.Add(1)
	if s.head {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{
		StatusCode: 200, Request: r, Header: http.Header{}, ContentLength: 1000,
		Body: io.NopCloser(io.MultiReader(strings.NewReader("abc"), silent{r.Context()})),
	}, nil
}

type silent struct{ ctx context.Context }

func (s silent) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func TestStalls(t *testing.T) {
	for _, head := range []bool{true, false} {
		t.Run(fmt.Sprintf("before the head %v", head), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &still{head: head}
				c, err := New(Options{Transport: server, Stall: 20 * time.Second, Retry: endpoint.Retry{Tries: 3, First: time.Second, Most: time.Second}})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				err = c.Download(t.Context(), Plain{URL: "http://mirror/a?signature=secret-of-the-cdn", SHA256: sha256Of([]byte("x")), Size: 1000, Path: filepath.Join(t.TempDir(), "a")})
				wantOneLine(t, err, "GET http://mirror/a", "not a byte for 20s", "check the network", "run it again")
				var un *endpoint.UnreachableError
				if !errors.As(err, &un) {
					t.Errorf("%T, want an UnreachableError", err)
				}
				if n := server.opens.Load(); n != 3 {
					t.Errorf("tried %d times, want 3", n)
				}
				if took := time.Since(began); took < 60*time.Second || took > 70*time.Second {
					t.Errorf("took %s, want 3 × 20 s and the waits", took)
				}
			})
		})
	}
}

// Ctrl-C ends a transfer at once; the next goes on from there.
func TestInterrupted(t *testing.T) {
	f := newFakeHub(t)
	body := bytesOf(400_000)
	f.files["a.bin"], f.lfs["a.bin"] = body, true
	why := errors.New("ctrl-c")
	ctx, cancel := context.WithCancelCause(t.Context())
	f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/blob/") {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body[:300_000])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	})
	c := f.client(t, Options{Progress: func(p Progress) {
		if p.Done == 300_000 {
			cancel(why)
		}
	}})
	if _, err := c.File(ctx, ref("a.bin")); !errors.Is(err, why) {
		t.Fatalf("%v, want %v", err, why)
	} else {
		wantOneLine(t, err)
	}
	f.setFault(nil)
	f.forget()
	path, err := c.File(t.Context(), ref("a.bin"))
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, body)
	if got := f.requests("GET cdn"); len(got) != 1 || !strings.HasSuffix(got[0], "bytes=300000-") {
		t.Errorf("asked %q", got)
	}
}
