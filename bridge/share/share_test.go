package share

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/guard"
)

const (
	chunk = minChunk
	token = "0123456789abcdef0123456789abcdef"
)

// snapshot publishes one of two files, two and a half chunks and three bytes.
func snapshot(t testing.TB, root string, version int64) (dir string, weights []byte) {
	t.Helper()
	weights = []byte(strings.Repeat(fmt.Sprintf("weights %d,", version), chunk))[:chunk*5/2]
	dir = filepath.Join(root, fmt.Sprintf("version-%06d", version))
	m := atomicdir.Marker{Version: version, Step: 3, Extra: map[string]string{"weights_sha256": "abc"}}
	_, err := atomicdir.Create(dir, m, func(tmp string) error {
		if err := os.Mkdir(filepath.Join(tmp, "sub"), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tmp, "sub", "a b#?%.json"), []byte("{}\n"), 0o644); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(tmp, "w"), weights, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir, weights
}

func newHandler(t testing.TB, root string) *Handler {
	t.Helper()
	h, err := New(Options{Run: "r1", ChunkSize: chunk, Open: func(v int64) (bridge.Snapshot, error) { return bridge.Find(root, v) }})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// get asks with a path that is sent as it is.
func get(t *testing.T, url, key, path, ranged string) (status int, header http.Header, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = path
	if strings.HasPrefix(path, "//") {
		req.URL.Opaque = req.URL.Host + path
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if ranged != "" {
		req.Header.Set("Range", ranged)
	}
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, body
}

func TestServes(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	root := t.TempDir()
	_, weights := snapshot(t, root, 7)
	srv := httptest.NewServer(guard.RequireToken(token, newHandler(t, root)))
	defer srv.Close()
	status, _, body := get(t, srv.URL, token, "/v1/snapshots/7", "")
	m, err := ParseManifest(body)
	if status != 200 || err != nil {
		t.Fatalf("%d, %v: %s", status, err, body)
	}
	want := &Manifest{Run: "r1", Version: 7, Step: 3, Extra: map[string]string{"weights_sha256": "abc"}, ChunkSize: chunk, Files: []File{
		{"sub/a b#?%.json", 3, sha256.Sum256([]byte("{}\n")), []Sum{sha256.Sum256([]byte("{}\n"))}},
		{"w", chunk * 5 / 2, sha256.Sum256(weights), []Sum{sha256.Sum256(weights[:chunk]), sha256.Sum256(weights[chunk : 2*chunk]), sha256.Sum256(weights[2*chunk:])}},
	}}
	if d := cmp.Diff(want, m); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, c := range []struct {
		path, ranged, content string
		status                int
	}{
		{"/v1/snapshots/7/w", "", string(weights), 200},
		{"/v1/snapshots/7/w", "bytes=10-19", string(weights[10:20]), 206},
		{"/v1/snapshots/7/w", "bytes=10000-", string(weights[10000:]), 206},
		{"/v1/snapshots/7/sub/a%20b%23%3F%25.json", "", "{}\n", 200},
	} {
		if status, header, body := get(t, srv.URL, token, c.path, c.ranged); status != c.status || string(body) != c.content || header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s %s: %d, %v, %.60q", c.path, c.ranged, status, header, body)
		}
	}
	if status, _, _ := get(t, srv.URL, token, "/v1/snapshots/7/w", "bytes=99999-"); status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range beyond the end: %d", status)
	}
}

// Whatever a path says, what is not in the manifest is not there; and without
// the token nothing is.
func TestPathsOutside(t *testing.T) {
	root := t.TempDir()
	dir, _ := snapshot(t, root, 7)
	secret := filepath.Join(root, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "unlisted"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "version-000008"), 0o755); err != nil { // not complete
		t.Fatal(err)
	}
	srv := httptest.NewServer(guard.RequireToken(token, newHandler(t, root)))
	defer srv.Close()
	for _, path := range []string{
		"/", "/v1", "/v1/snapshots", "/v1/snapshots/", "/v1/snapshots/7/", "/v1/snapshots/7/sub", "/v1/snapshots/7/sub/", "/v1/snapshots/7/COMPLETE", "/v1/snapshots/7/unlisted",
		"/v1/snapshots/7/../secret", "/v1/snapshots/7/..%2fsecret", "/v1/snapshots/7/%2e%2e/secret", "/v1/snapshots/7/%2e%2e%2fsecret", "/v1/snapshots/7/sub/../w",
		"/v1/snapshots/7/%2fetc%2fpasswd", "/v1/snapshots/7//etc/passwd", "/v1/snapshots/7/w%00", "/v1/snapshots/7/w%00.json", "/v1/snapshots/7/..%5csecret", "/v1/snapshots/7/./w",
		"/v1/snapshots/../secret", "/v1/snapshots/8", "/v1/snapshots/8/w", "/v1/snapshots/9", "/v1/snapshots/07", "/v1/snapshots/+7", "/v1/snapshots/-7", "/v1/snapshots/7.0",
		"/v1/snapshots/99999999999999999999", "/v1//snapshots/7", "/V1/snapshots/7",
	} {
		if status, header, body := get(t, srv.URL, token, path, ""); status != http.StatusNotFound || strings.Contains(string(body), "secret\"") || header.Get("Location") != "" {
			t.Errorf("%s: %d, %s", path, status, body)
		}
	}
	for _, key := range []string{"", "x", token[:31], token + "0"} {
		for _, path := range []string{"/v1/snapshots/7", "/v1/snapshots/7/w", "/v1/snapshots/9", "/"} {
			if status, _, body := get(t, srv.URL, key, path, ""); status != http.StatusUnauthorized || strings.Contains(string(body), "weights") {
				t.Errorf("%s with key %q: %d, %s", path, key, status, body)
			}
		}
	}
}

// A file that was replaced after publishing, by a link or by another, is not served.
func TestReplacedFiles(t *testing.T) {
	for name, replace := range map[string]func(path string) error{
		"by a link":                func(path string) error { return os.Symlink("/etc/hostname", path) },
		"by a link to a neighbour": func(path string) error { return os.Symlink("sub", path) },
		"by a folder":              func(path string) error { return os.Mkdir(path, 0o755) },
		"by a longer one":          func(path string) error { return os.WriteFile(path, make([]byte, 9*chunk), 0o644) },
		"by nothing":               func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			for _, described := range []bool{false, true} {
				root := t.TempDir()
				dir, _ := snapshot(t, root, 7)
				srv := httptest.NewServer(newHandler(t, root))
				defer srv.Close()
				if described {
					if status, _, _ := get(t, srv.URL, "", "/v1/snapshots/7", ""); status != 200 {
						t.Fatalf("status %d", status)
					}
				}
				path := filepath.Join(dir, "w")
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if err := replace(path); err != nil {
					t.Fatal(err)
				}
				if status, _, body := get(t, srv.URL, "", "/v1/snapshots/7/w", ""); status < 400 && (name != "by a longer one" || described) {
					t.Errorf("described before: %v: status %d, %.40q", described, status, body)
				}
			}
		})
	}
}

// Many at once read a snapshot for its hashes once; the oldest is forgotten.
func TestDescribesOnce(t *testing.T) {
	root := t.TempDir()
	h := newHandler(t, root)
	opened := 0
	open := h.open
	h.open = func(v int64) (bridge.Snapshot, error) { opened++; return open(v) }
	for v := range int64(remembered + 1) {
		snapshot(t, root, v)
		var pool errgroup.Group
		for range 8 {
			pool.Go(func() error {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("/v1/snapshots/%d", v), nil))
				if w.Code != 200 {
					return fmt.Errorf("status %d: %s", w.Code, w.Body)
				}
				return nil
			})
		}
		if err := pool.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if opened != remembered+1 || len(h.known) != remembered {
		t.Errorf("opened %d times, %d are known", opened, len(h.known))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.busy <- struct{}{}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/snapshots/1", nil)) // must not wait
	<-h.busy
}

func TestParseManifestRefuses(t *testing.T) {
	good := func() *Manifest {
		return &Manifest{Run: "r", Version: 1, ChunkSize: chunk, Files: []File{{Name: "w", Size: chunk + 1, Chunks: make([]Sum, 2)}, {Name: "d/e", Size: 0}}}
	}
	named := func(name string) func(*Manifest) { return func(m *Manifest) { m.Files[0].Name = name } }
	for name, c := range map[string]struct {
		spoil func(*Manifest)
		want  string
	}{
		"nothing":                 {func(*Manifest) {}, ""},
		"no run":                  {func(m *Manifest) { m.Run = "" }, "run"},
		"a run outside":           {func(m *Manifest) { m.Run = "../x" }, "run"},
		"no files":                {func(m *Manifest) { m.Files = nil }, "0 files"},
		"tiny chunks":             {func(m *Manifest) { m.ChunkSize = 1 }, "chunks of 1"},
		"huge chunks":             {func(m *Manifest) { m.ChunkSize = 1 << 40 }, "chunks of"},
		"a missing chunk":         {func(m *Manifest) { m.Files[0].Chunks = m.Files[0].Chunks[:1] }, "has 1 chunks"},
		"a chunk too many":        {func(m *Manifest) { m.Files[1].Chunks = make([]Sum, 1) }, "has 1 chunks"},
		"a size below":            {func(m *Manifest) { m.Files[0].Size = -1 }, "too many"},
		"a size beyond":           {func(m *Manifest) { m.Files[0].Size = 1 << 62 }, "too many"},
		"a version below":         {func(m *Manifest) { m.Version = -1 }, "version -1"},
		"the same name twice":     {named("d/e"), "twice"},
		"names that fold":         {named("D/E"), "twice"},
		"a file that is a folder": {named("d"), "a file and a folder"},
		"a parent":                {named("../w"), "inside"},
		"an inner parent":         {named("a/../../w"), "inside"},
		"absolute":                {named("/etc/passwd"), "inside"},
		"empty":                   {named(""), "inside"},
		"a dot":                   {named("."), "inside"},
		"a NUL":                   {named("w\x00"), "signs"},
		"a backslash":             {named(`..\w`), "signs"},
		"a drive":                 {named("c:w"), "signs"},
		"a line break":            {named("w\n"), "signs"},
		"the marker":              {named("COMPLETE"), "marker"},
		"the pending marker":      {named("complete.PENDING"), "marker"},
		"long":                    {named(strings.Repeat("w", 256)), "long"},
	} {
		t.Run(name, func(t *testing.T) {
			m := good()
			c.spoil(m)
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			_, err = ParseManifest(b)
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
			if _, err := ParseManifest(append(b, "{}"...)); err == nil {
				t.Error("something behind it was let pass")
			}
		})
	}
}

func FuzzParseManifest(f *testing.F) {
	m := Manifest{Run: "r", Version: 1, ChunkSize: chunk, Files: []File{{Name: "a/w", Size: chunk + 1, Chunks: make([]Sum, 2)}}}
	b, err := json.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(strings.Replace(string(b), "a/w", "../w", 1)))
	f.Add([]byte(`{"run":"r","chunk_size":4096,"files":[{"name":"x","size":9223372036854775807}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			return
		}
		var total int64
		for i := range m.Files {
			file := &m.Files[i]
			if !filepath.IsLocal(filepath.FromSlash(file.Name)) || strings.Contains(file.Name, "\x00") {
				t.Errorf("the name %q leads outside", file.Name)
			}
			var size int64
			for n := range file.Chunks {
				offset, s := m.Chunk(file, n)
				if offset != size || s < 1 || s > m.ChunkSize {
					t.Fatalf("chunk %d of %q: %d bytes at %d", n, file.Name, s, offset)
				}
				size += s
			}
			if size != file.Size {
				t.Errorf("%q: the chunks have %d of %d bytes", file.Name, size, file.Size)
			}
			total += size
		}
		if total != m.Size() || total < 0 {
			t.Errorf("%d bytes, Size says %d", total, m.Size())
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseManifest(again); err != nil || cmp.Diff(m, back) != "" {
			t.Errorf("written and read again: %v", err)
		}
	})
}

// A client that goes away while it waits for a manifest must not leave one
// behind whose chunks were never read: it would be what every later one gets.
func TestClientsThatGoAway(t *testing.T) {
	root := t.TempDir()
	_, weights := snapshot(t, root, 7)
	h := newHandler(t, root)
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 64 { // whether it waits for its turn is chance
		if d, err := h.find(gone, 7); err == nil || len(h.known) > 0 {
			t.Fatalf("a client that is gone got %+v, %v; remembered are %d", d.Manifest, err, len(h.known))
		}
	}
	d, err := h.find(t.Context(), 7)
	if err != nil || d.Files[1].Chunks[0] != sha256.Sum256(weights[:chunk]) {
		t.Errorf("the next one got %+v, %v", d.Manifest, err)
	}
}
