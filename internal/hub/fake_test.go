package hub

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/splitmix"
)

const testCommit = "0123456789abcdef0123456789abcdef01234567"

// fakeHub is a hub with one repository: as the real one, it redirects to another
// host for the bytes of LFS files, and answers for small ones itself.
type fakeHub struct {
	hub, cdn *httptest.Server
	files    map[string][]byte
	lfs      map[string]bool
	token    string // "" lets everybody in

	mu  sync.Mutex
	log []string // METHOD host path [range] [authorized]
	// fault, when set, may answer a request to either host in the fake's place.
	fault func(w http.ResponseWriter, r *http.Request) (answered bool)
}

func newFakeHub(t testing.TB) *fakeHub {
	t.Helper()
	f := &fakeHub{files: map[string][]byte{}, lfs: map[string]bool{}}
	f.hub = httptest.NewServer(http.HandlerFunc(f.serveHub))
	f.cdn = httptest.NewServer(http.HandlerFunc(f.serveCDN))
	t.Cleanup(f.hub.Close)
	t.Cleanup(f.cdn.Close)
	return f
}

// note logs a request, and returns the fault that may answer it.
func (f *fakeHub) note(host string, r *http.Request) func(http.ResponseWriter, *http.Request) bool {
	line := r.Method + " " + host + " " + r.URL.Path
	if s := r.Header.Get("Range"); s != "" {
		line += " " + s
	}
	if r.Header.Get("Authorization") != "" {
		line += " authorized"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, line)
	return f.fault
}

// requests are the logged ones that contain the words, in order.
func (f *fakeHub) requests(words ...string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, line := range f.log {
		has := true
		for _, w := range words {
			has = has && strings.Contains(line, w)
		}
		if has {
			out = append(out, line)
		}
	}
	return out
}

func (f *fakeHub) serveHub(w http.ResponseWriter, r *http.Request) {
	if fault := f.note("hub", r); fault != nil && fault(w, r) {
		return
	}
	if f.token != "" && r.Header.Get("Authorization") != "Bearer "+f.token {
		w.Header().Set("X-Error-Code", "RepoNotFound")
		w.Header().Set("X-Error-Message", "Invalid username or password.")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	for _, prefix := range []string{"/datasets/org/name", "/org/name"} {
		if rest, ok := strings.CutPrefix(r.URL.Path, prefix+"/resolve/"); ok {
			_, path, _ := strings.Cut(rest, "/")
			f.resolve(w, r, path)
			return
		}
	}
	for _, kind := range []string{"datasets", "models"} {
		if strings.HasPrefix(r.URL.Path, "/api/"+kind+"/org/name/revision/") {
			f.list(w)
			return
		}
	}
	w.Header().Set("X-Error-Code", "RepoNotFound")
	w.WriteHeader(http.StatusNotFound)
}

func (f *fakeHub) resolve(w http.ResponseWriter, r *http.Request, path string) {
	body, ok := f.files[path]
	w.Header().Set("X-Repo-Commit", testCommit)
	if !ok {
		w.Header().Set("X-Error-Code", "EntryNotFound")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if f.lfs[path] {
		w.Header().Set("X-Linked-Etag", `"`+sha256Of(body)+`"`)
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(body)))
		w.Header().Set("Location", f.cdn.URL+"/blob/"+path+"?signature=secret-of-the-cdn")
		w.WriteHeader(http.StatusFound)
		return
	}
	w.Header().Set("ETag", `"`+gitSHA1Of(body)+`"`)
	http.ServeContent(w, r, path, time.Time{}, bytes.NewReader(body))
}

func (f *fakeHub) list(w http.ResponseWriter) {
	var siblings []map[string]any
	for path, body := range f.files {
		s := map[string]any{"rfilename": path, "size": len(body), "blobId": gitSHA1Of(body)}
		if f.lfs[path] {
			s["lfs"] = map[string]any{"sha256": sha256Of(body), "size": len(body), "pointerSize": 130}
		}
		siblings = append(siblings, s)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"id": "org/name", "sha": testCommit, "siblings": siblings})
}

func (f *fakeHub) serveCDN(w http.ResponseWriter, r *http.Request) {
	if fault := f.note("cdn", r); fault != nil && fault(w, r) {
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/blob/")
	body, ok := f.files[path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("ETag", `"of-the-cdn"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// setFault sets or, with nil, ends the fault.
func (f *fakeHub) setFault(fault func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// forget empties the log.
func (f *fakeHub) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = nil
}

func sha256Of(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func gitSHA1Of(b []byte) string {
	s := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(b)), b...))
	return hex.EncodeToString(s[:])
}

// bytesOf makes n bytes that are nowhere the same, and as many more begin with the same.
func bytesOf(n int) []byte {
	b := make([]byte, 0, n+8)
	for i := uint64(0); len(b) < n; i++ {
		b = binary.BigEndian.AppendUint64(b, splitmix.Mix(i))
	}
	return b[:n]
}

// quick is a Retry that does not make tests wait.
var quick = endpoint.Retry{Tries: 4, First: time.Millisecond, Most: 2 * time.Millisecond}

// client is one of the fake's hub, on a cache of its own unless o has one.
func (f *fakeHub) client(t testing.TB, o Options) *Client {
	t.Helper()
	o.Endpoint = f.hub.URL
	if o.Cache == "" {
		o.Cache = t.TempDir()
	}
	if o.Retry.Tries == 0 {
		o.Retry = quick
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func ref(file string) Ref { return Ref{Kind: Dataset, ID: "org/name", Revision: "main", File: file} }

func wantFile(t testing.TB, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes that are not the %d wanted", path, len(got), len(want))
	}
}

// tree is every path below a folder, with where links lead.
func treeOf(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if d.Type()&os.ModeSymlink != 0 {
			to, err := os.Readlink(path)
			out = append(out, rel+" -> "+to)
			return err
		}
		out = append(out, rel)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return out
}

// wantOneLine wants an error whose text is one line with all the words.
func wantOneLine(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if strings.ContainsAny(err.Error(), "\r\n") {
		t.Errorf("not one line: %q", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q lacks %q", err, w)
		}
	}
	for _, secret := range []string{"secret-of-the-cdn", "hf_secret"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("error tells a secret: %q", err)
		}
	}
}
