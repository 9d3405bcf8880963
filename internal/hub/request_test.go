package hub

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// redirect answers the hub's requests of a method with a redirect.
func redirect(method string, status int, to func() string, header ...string) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || !strings.Contains(r.URL.Path, "/resolve/") {
			return false
		}
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Location", to())
		w.WriteHeader(status)
		return true
	}
}

// What is known of a file is what the hub's own origin says, by its last word;
// another host only has the bytes.
func TestMetadataIsTheHubs(t *testing.T) {
	body := bytesOf(5000)
	etag := `"` + sha256Of(body) + `"`
	for _, tc := range []struct {
		name   string
		header []string // of the redirect of HEAD
		to     func(f *fakeHub) string
		want   []string // nil is success
		heads  []string // hosts and paths that were asked
	}{
		{"a relative redirect is followed, and its end counts", nil, func(*fakeHub) string { return "/cache/a.bin" }, nil, []string{"hub /org/name", "hub /cache"}},
		{"so is an absolute one to the hub itself", nil, func(f *fakeHub) string { return f.hub.URL + "/cache/a.bin" }, nil, []string{"hub /org/name", "hub /cache"}},
		{"a redirect that says all is the end", []string{"X-Repo-Commit", testCommit, "X-Linked-Etag", etag, "X-Linked-Size", "5000"}, func(f *fakeHub) string { return f.cdn.URL + "/blob/a.bin" }, nil, []string{"hub /org/name"}},
		{"its ETag does where none is linked", []string{"X-Repo-Commit", testCommit, "ETag", "W/" + etag}, func(f *fakeHub) string { return f.cdn.URL + "/blob/a.bin" }, nil, []string{"hub /org/name"}},
		{"another host is not asked for a commit", []string{"X-Linked-Etag", etag}, func(f *fakeHub) string { return f.cdn.URL + "/meta/a.bin?signature=secret-of-the-cdn" }, []string{"redirects to http://127.0.0.1:", "/meta/a.bin and says nothing", "set HF_ENDPOINT"}, []string{"hub /org/name"}},
		{"nor for a checksum", []string{"X-Repo-Commit", testCommit}, func(f *fakeHub) string { return f.cdn.URL + "/meta/a.bin" }, []string{`ETag "" is no checksum`}, []string{"hub /org/name"}},
		{"a host with a password is none", nil, func(f *fakeHub) string { return strings.Replace(f.cdn.URL, "//", "//me:hf_secret@", 1) }, []string{"no web address"}, []string{"hub /org/name"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeHub(t)
			f.files["a.bin"], f.lfs["a.bin"] = body, true
			first := redirect(http.MethodHead, http.StatusTemporaryRedirect, func() string { return tc.to(f) }, tc.header...)
			f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasPrefix(r.URL.Path, "/cache/") || strings.HasPrefix(r.URL.Path, "/meta/") { // the end of it, here or there
					w.Header().Set("X-Repo-Commit", testCommit)
					w.Header().Set("ETag", etag)
					w.Header().Set("Content-Length", "5000")
					return true
				}
				return first(w, r)
			})
			c := f.client(t, Options{Token: "hf_secret"})
			path, err := c.File(t.Context(), Ref{Kind: Model, ID: "org/name", Revision: "main", File: "a.bin"})
			if tc.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				wantFile(t, path, body)
			} else {
				wantOneLine(t, err, tc.want...)
			}
			var heads []string
			for _, line := range f.requests("HEAD") {
				heads = append(heads, strings.TrimPrefix(line, "HEAD "))
			}
			if !slices.EqualFunc(heads, tc.heads, strings.HasPrefix) {
				t.Errorf("asked %q, want %q", heads, tc.heads)
			}
			if got := f.requests("cdn", "authorized"); len(got) != 0 {
				t.Errorf("the token went along: %q", got)
			}
		})
	}
}

// A request that a stranger leads back to the hub has no token: with it, the
// stranger would act as the user.
func TestTokenDoesNotComeBack(t *testing.T) {
	f := newFakeHub(t)
	body := bytesOf(100)
	f.files["a.bin"], f.lfs["a.bin"] = body, true
	f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/blob/") && r.Host == strings.TrimPrefix(f.cdn.URL, "http://") {
			http.Redirect(w, r, f.hub.URL+"/api/of-the-strangers-choice", http.StatusFound)
			return true
		}
		if r.URL.Path == "/api/of-the-strangers-choice" {
			_, _ = w.Write(body)
			return true
		}
		return false
	})
	c := f.client(t, Options{Token: "hf_secret"})
	if _, err := c.File(t.Context(), ref("a.bin")); err != nil {
		t.Fatal(err)
	}
	if got := f.requests("of-the-strangers-choice"); len(got) != 1 || strings.Contains(got[0], "authorized") {
		t.Errorf("the hub was asked %q, without a token is wanted", got)
	}
	if got := f.requests("/resolve/", "authorized"); len(got) != 2 {
		t.Errorf("the hub itself was asked with a token %q, want twice", got)
	}
}

// Nothing goes from https to http: not for bytes, not for metadata, not for a list.
func TestDowngradesAreRefused(t *testing.T) {
	body := bytesOf(1000)
	openly := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s was sent in clear, with token %t", r.Method, r.URL, r.Header.Get("Authorization") != "")
	}))
	defer openly.Close()
	meta := true // HEAD is answered as the hub does
	safe := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if meta && r.Method == http.MethodHead {
			w.Header().Set("X-Repo-Commit", testCommit)
			w.Header().Set("X-Linked-Etag", sha256Of(body))
			w.Header().Set("X-Linked-Size", "1000")
		}
		http.Redirect(w, r, openly.URL+r.URL.Path+"?signature=secret-of-the-cdn", http.StatusFound)
	}))
	defer safe.Close()
	c, err := New(Options{Endpoint: safe.URL, Token: "hf_secret", Transport: safe.Client().Transport, Cache: t.TempDir(), Retry: quick})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	refusal := []string{safe.URL, "redirects from https to " + openly.URL, "check the address"}
	_, err = c.File(t.Context(), ref("a.bin"))
	wantOneLine(t, err, refusal...)
	_, err = c.Snapshot(t.Context(), model(), nil)
	wantOneLine(t, err, refusal...)
	wantOneLine(t, c.Download(t.Context(), Plain{URL: safe.URL + "/a", SHA256: sha256Of(body), Size: 1000, Path: filepath.Join(t.TempDir(), "a")}), refusal...)
	meta = false
	_, err = c.File(t.Context(), ref("a.bin"))
	wantOneLine(t, err, "redirects to "+openly.URL, "says nothing of the file")
}

// The user's token is no business of a plain file's, be it at the hub's own address.
func TestDownloadIsWithoutAToken(t *testing.T) {
	f := newFakeHub(t)
	f.files["a.bin"] = bytesOf(100)
	c := f.client(t, Options{Token: "hf_secret"})
	p := Plain{URL: f.hub.URL + "/org/name/resolve/main/a.bin", SHA256: sha256Of(f.files["a.bin"]), Size: 100, Path: filepath.Join(t.TempDir(), "a")}
	if err := c.Download(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got := f.requests(); len(got) != 1 || strings.Contains(got[0], "authorized") {
		t.Errorf("sent %q, want one request without a token", got)
	}
	if left, err := os.ReadDir(filepath.Dir(p.Path)); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestBare(t *testing.T) {
	for in, want := range map[string]string{
		"https://host/a%20b":            "https://host/a%20b",
		"https://host/a?key=hf_secret":  "https://host/a",
		"https://me:hf_secret@host/a?b": "https://host/a",
		"https://host/a#hf_secret":      "https://host/a",
	} {
		if got := bare(in); got != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
}
