package hub

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/endpoint"
)

func TestFileLayout(t *testing.T) {
	f := newFakeHub(t)
	f.token = "hf_secret"
	big, small := bytesOf(3<<20), []byte("a: 1\n")
	f.files["data/rows.parquet"], f.lfs["data/rows.parquet"] = big, true
	f.files["README.md"] = small
	c := f.client(t, Options{Token: "hf_secret"})
	for path, want := range map[string][]byte{"data/rows.parquet": big, "README.md": small} {
		got, err := c.File(t.Context(), ref(path))
		if err != nil {
			t.Fatal(err)
		}
		wantFile(t, got, want)
	}
	repo := "datasets--org--name/"
	want := []string{
		".locks/" + repo + sha256Of(big) + ".lock",
		".locks/" + repo + gitSHA1Of(small) + ".lock",
		repo + "blobs/" + sha256Of(big),
		repo + "blobs/" + gitSHA1Of(small),
		repo + "refs/main",
		repo + "snapshots/" + testCommit + "/README.md -> ../../blobs/" + gitSHA1Of(small),
		repo + "snapshots/" + testCommit + "/data/rows.parquet -> ../../../blobs/" + sha256Of(big),
	}
	slices.Sort(want)
	got := treeOf(t, c.o.Cache)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the cache (-want +got):\n%s", d)
	}
	if b, err := os.ReadFile(filepath.Join(c.o.Cache, repo, "refs", "main")); err != nil || string(b) != testCommit {
		t.Errorf("refs/main has %q, %v", b, err)
	}
	if n := len(f.requests("cdn", "authorized")); n != 0 {
		t.Errorf("%d requests took the token to another host", n)
	}
	if n := len(f.requests("hub", "authorized")); n != len(f.requests("hub")) {
		t.Errorf("of %d requests to the hub %d had the token", len(f.requests("hub")), n)
	}

	// A commit's file needs no request, a branch's only the question where it is.
	f.forget()
	at := ref("README.md")
	at.Revision = testCommit
	if _, err := c.File(t.Context(), at); err != nil || len(f.requests()) != 0 {
		t.Errorf("%v, requests %q", err, f.requests())
	}
	if _, err := c.File(t.Context(), ref("README.md")); err != nil || len(f.requests()) != 1 || len(f.requests("HEAD hub")) != 1 {
		t.Errorf("%v, requests %q", err, f.requests())
	}
}

// A blob that is there needs only a link: the same file at another path, or in
// the next commit.
func TestFileLinksAKnownBlob(t *testing.T) {
	f := newFakeHub(t)
	body := bytesOf(1000)
	for _, path := range []string{"a.bin", "deep/er/b.bin"} {
		f.files[path], f.lfs[path] = body, true
	}
	c := f.client(t, Options{})
	for path := range f.files {
		got, err := c.File(t.Context(), ref(path))
		if err != nil {
			t.Fatal(err)
		}
		wantFile(t, got, body)
	}
	if got := f.requests("GET cdn"); len(got) != 1 {
		t.Errorf("fetched more than once: %q", got)
	}
	// A link that leads nowhere, and a blob that another program has cut, are made good.
	blob := filepath.Join(c.repo(ref("")), "blobs", sha256Of(body))
	if err := os.Truncate(blob, 10); err != nil {
		t.Fatal(err)
	}
	got, err := c.File(t.Context(), ref("a.bin"))
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, got, body)
	if err := os.Remove(blob); err != nil {
		t.Fatal(err)
	}
	if got, err = c.File(t.Context(), ref("a.bin")); err != nil {
		t.Fatal(err)
	}
	wantFile(t, got, body)
}

func TestFileRefusals(t *testing.T) {
	answer := func(status int, header ...string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			return true
		}
	}
	page := func(status int) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<html>\n<script>lots of it</script>\n</html>"))
			return true
		}
	}
	good := `"` + sha256Of([]byte("x")) + `"`
	for _, tc := range []struct {
		name  string
		fault func(w http.ResponseWriter, r *http.Request) bool
		want  []string
		tries int
		reply bool
	}{
		{"401 of an unknown or private one", answer(401, "X-Error-Code", "RepoNotFound", "X-Error-Message", "Invalid username\nor password."), []string{"401: Invalid username or password.", "--type", "HF_TOKEN"}, 1, false},
		{"401 without a word", answer(401), []string{"401: Unauthorized", "a wrong HF_TOKEN opens nothing"}, 1, false},
		{"403", answer(403), []string{"403: Forbidden", "HF_TOKEN"}, 1, false},
		{"gated", answer(403, "X-Error-Code", "GatedRepo", "X-Error-Message", "Access to dataset org/name is restricted."), []string{"restricted", "accept the terms"}, 1, false},
		{"no such revision", answer(404, "X-Error-Code", "RevisionNotFound", "X-Error-Message", "Invalid rev id: main"), []string{"404: Invalid rev id: main", "--revision"}, 1, false},
		{"no such file", answer(404, "X-Error-Code", "EntryNotFound", "X-Error-Message", "Entry not found"), []string{"no such file"}, 1, false},
		{"words that a terminal obeys", answer(404, "X-Error-Message", "Gone\u009b1mfor \u202egood"), []string{"404: Gone 1mfor good: check the id"}, 1, false},
		{"nothing but those", answer(404, "X-Error-Message", "\u009b \u202e"), []string{"404: Not Found: check the id"}, 1, false},
		{"404 page", page(404), []string{"404: Not Found: check the id"}, 1, false},
		{"429", answer(429), []string{"429: Too Many Requests", "wait a while", "after 4 tries"}, 4, false},
		{"500", answer(500), []string{"500: Internal Server Error", "what has come is kept"}, 4, false},
		{"502 page", page(502), []string{"502: Bad Gateway"}, 4, false},
		{"503", answer(503), []string{"503: Service Unavailable"}, 4, false},
		{"a page with status 200", page(200), []string{"no Hugging Face hub", "HF_ENDPOINT"}, 1, true},
		{"no ETag", answer(200, "X-Repo-Commit", testCommit), []string{`ETag "" is no checksum`}, 1, true},
		{"an ETag that is no checksum", answer(200, "X-Repo-Commit", testCommit, "ETag", `"../../../../etc/passwd"`), []string{"is no checksum"}, 1, true},
		{"an ETag in capitals", answer(200, "X-Repo-Commit", testCommit, "ETag", strings.ToUpper(good)), []string{"is no checksum"}, 1, true},
		{"a commit that is a path", answer(200, "X-Repo-Commit", "../../../../../../../../../tmp/0123456789", "ETag", good), []string{"X-Repo-Commit is no commit"}, 1, true},
		{"a size that is none", answer(302, "X-Repo-Commit", testCommit, "X-Linked-Etag", good, "X-Linked-Size", "-5", "Location", "/x"), []string{`X-Linked-Size is "-5"`}, 1, true},
		{"a redirect to nowhere", answer(302, "Location", "file:///etc/passwd"), []string{"no web address"}, 1, true},
		{"a redirect without a place", answer(302), []string{"302"}, 1, false},
		{"redirects in a circle", answer(302, "Location", "/again"), []string{"more than 8 times"}, 8, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeHub(t)
			f.setFault(tc.fault)
			c := f.client(t, Options{Token: "hf_secret"})
			_, err := c.File(t.Context(), ref("data/a.parquet"))
			wantOneLine(t, err, append(tc.want, "org/name")...)
			if n := len(f.requests("HEAD")); n != tc.tries {
				t.Errorf("asked %d times, want %d", n, tc.tries)
			}
			var status *endpoint.StatusError
			var reply *endpoint.ReplyError
			if errors.As(err, &status) == tc.reply || errors.As(err, &reply) != tc.reply {
				t.Errorf("%T is of the wrong kind", errors.Unwrap(err))
			}
			if got := treeOf(t, c.o.Cache); len(got) != 0 {
				t.Errorf("left in the cache: %q", got)
			}
		})
	}
}

// The token is for the hub's own address: not for another port, not for a
// subdomain, and not for the same host without TLS.
func TestSameOrigin(t *testing.T) {
	for _, tc := range []struct {
		url  string
		want bool
	}{
		{"https://hub.example/a", true}, {"https://HUB.example:443/b", true},
		{"http://hub.example/a", false}, {"https://hub.example:8443/a", false}, {"https://cdn.hub.example/a", false}, {"https://hub.example.evil/a", false},
	} {
		c, err := New(Options{Endpoint: "https://hub.example/", Token: "hf_secret"})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tc.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.auth(r)
		if got := r.Header.Get("Authorization") != ""; got != tc.want {
			t.Errorf("%s: sent %v, want %v", tc.url, got, tc.want)
		}
	}
}

func TestOffline(t *testing.T) {
	f := newFakeHub(t)
	f.files["a.bin"] = []byte("abc")
	online := f.client(t, Options{})
	path, err := online.File(t.Context(), ref("a.bin"))
	if err != nil {
		t.Fatal(err)
	}
	f.forget()
	c := f.client(t, Options{Cache: online.o.Cache, Offline: true})
	if got, err := c.File(t.Context(), ref("a.bin")); err != nil || got != path {
		t.Errorf("%q, %v; want %q from the cache", got, err, path)
	}
	_, err = c.File(t.Context(), ref("b.bin"))
	wantOneLine(t, err, "org/name/b.bin", c.o.Cache, "HF_HUB_OFFLINE")
	var off *OfflineError
	if !errors.As(err, &off) {
		t.Errorf("%T, want an OfflineError", err)
	}
	if len(f.requests()) != 0 {
		t.Errorf("offline, but sent %q", f.requests())
	}
}

// A hub that is away, or ails, is no reason not to use what is there; one that says no is.
func TestCacheWhenTheHubFails(t *testing.T) {
	f := newFakeHub(t)
	f.files["a.bin"] = []byte("abc")
	online := f.client(t, Options{})
	path, err := online.File(t.Context(), ref("a.bin"))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	c := f.client(t, Options{Cache: online.o.Cache, Notice: func(s string) { said = append(said, s) }})
	f.setFault(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true })
	if got, err := c.File(t.Context(), ref("a.bin")); err != nil || got != path {
		t.Errorf("503: %q, %v", got, err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "from the cache") {
		t.Errorf("said %q", said)
	}
	f.setFault(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(403); return true })
	if _, err := c.File(t.Context(), ref("a.bin")); err == nil {
		t.Error("a refusal was passed over")
	}
	f.hub.Close()
	if got, err := c.File(t.Context(), ref("a.bin")); err != nil || got != path {
		t.Errorf("gone: %q, %v", got, err)
	}
	_, err = c.File(t.Context(), ref("b.bin"))
	wantOneLine(t, err, "check the network")
}
