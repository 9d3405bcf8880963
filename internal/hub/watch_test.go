package hub

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// drip gives so many bytes of the rest at a time, and waits before each. It does
// not look at the request's context, as no body does while it has bytes.
type drip struct {
	rest []byte
	each int
	wait time.Duration
}

func (d *drip) Read(p []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	time.Sleep(d.wait) // of the bubble's clock
	n := copy(p[:d.each], d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// dripping serves body in drips, from where a Range says, after head.
func dripping(body []byte, head time.Duration, each int, wait time.Duration, froms *[]int) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		time.Sleep(head)
		from, status, header := 0, http.StatusOK, http.Header{}
		if s := r.Header.Get("Range"); s != "" {
			from, _ = strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(s, "bytes="), "-"))
			status = http.StatusPartialContent
			header.Set("Content-Range", "bytes "+strconv.Itoa(from)+"-"+strconv.Itoa(len(body)-1)+"/"+strconv.Itoa(len(body)))
		}
		*froms = append(*froms, from)
		return &http.Response{
			StatusCode: status, Request: r, Header: header, ContentLength: int64(len(body) - from),
			Body: io.NopCloser(&drip{body[from:], each, wait}),
		}, nil
	}
}

// A transfer that trickles is one that stalls; one that is slow, or waits for its head, is not.
func TestTrickle(t *testing.T) {
	for _, tc := range []struct {
		name    string
		size    int
		head    time.Duration
		each    int
		wait    time.Duration
		slowest int64
		froms   []int    // where the attempts began
		want    []string // nil is success
	}{
		{"a byte every 19 s", 1000, 0, 1, 19 * time.Second, 0, []int{0, 3, 6}, []string{"GET http://mirror/a", "stalled: 2 bytes in 38s are 0.0526 a second, less than 1024", "check the network", "run it again: what has come is kept", "after 3 tries"}},
		{"just below the least", 1 << 20, 0, 1023, time.Second, 0, []int{0, 1023 * 21, 1023 * 42}, []string{"20460 bytes in 20s are 1.02e+03 a second, less than 1024"}},
		{"the least", 1 << 20, 0, 1024, time.Second, 0, []int{0}, nil},
		{"in bursts, the least in the mean", 1 << 20, 0, 19 << 10, 19 * time.Second, 0, []int{0}, nil},
		{"a long wait for the head", 30_000, 19 * time.Second, 2000, time.Second, 0, []int{0}, nil},
		{"ended before it can be told", 10, 0, 1, time.Second, 0, []int{0}, nil},
		{"another least", 10_000, 0, 10, time.Second, 10, []int{0}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := bytesOf(tc.size)
				var froms []int
				c, err := New(Options{
					Transport: dripping(body, tc.head, tc.each, tc.wait, &froms), Stall: 20 * time.Second, Slowest: tc.slowest,
					Retry: endpoint.Retry{Tries: 3, First: time.Second, Most: time.Second},
				})
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(t.TempDir(), "a")
				err = c.Download(t.Context(), Plain{URL: "http://mirror/a?signature=secret-of-the-cdn", SHA256: sha256Of(body), Size: int64(tc.size), Path: path})
				if tc.want == nil {
					if err != nil {
						t.Fatal(err)
					}
					wantFile(t, path, body)
				} else {
					wantOneLine(t, err, tc.want...)
					var un *endpoint.UnreachableError
					if !errors.As(err, &un) {
						t.Errorf("%T, want an UnreachableError", err)
					}
					last := tc.froms[len(tc.froms)-1]
					if b, err := os.ReadFile(path + ".incomplete"); err != nil || len(b) <= last || string(b) != string(body[:len(b)]) {
						t.Errorf("of what came %d bytes are kept, more than %d are wanted: %v", len(b), last, err)
					}
				}
				if len(froms) != len(tc.froms) {
					t.Fatalf("it began at %v, want %v", froms, tc.froms)
				}
				for i := range froms {
					if froms[i] != tc.froms[i] {
						t.Errorf("it began at %v, want %v", froms, tc.froms)
					}
				}
			})
		})
	}
}

// A disk that takes its time is no network that stalls, neither by a wait nor by the rate.
func TestSlowDiskIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := bytesOf(100_000)
		var froms []int
		c, err := New(Options{
			Transport: dripping(body, 0, 25_000, time.Second, &froms), Stall: 20 * time.Second,
			// Told between a write and the next read: the same pause.
			Progress: func(p Progress) {
				if p.Done > 0 && p.Done < 100_000 {
					time.Sleep(time.Minute)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "a")
		if err := c.Download(t.Context(), Plain{URL: "http://mirror/a", SHA256: sha256Of(body), Size: 100_000, Path: path}); err != nil {
			t.Fatal(err)
		}
		wantFile(t, path, body)
		if len(froms) != 1 {
			t.Errorf("it began at %v, want once", froms)
		}
	})
}

// A list of files that trickles is given up too.
func TestListTrickles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var froms []int
		c, err := New(Options{
			Transport: dripping([]byte(`{"sha":"`+testCommit+`"}`), 0, 1, 19*time.Second, &froms), Stall: 20 * time.Second,
			Retry: endpoint.Retry{Tries: 2, First: time.Second}, Cache: t.TempDir(),
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.List(t.Context(), model())
		wantOneLine(t, err, "https://huggingface.co/api/models/org/name", "stalled: 2 bytes in 38s", "after 2 tries")
	})
}
