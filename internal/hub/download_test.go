package hub

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDownload(t *testing.T) {
	body := bytesOf(100_000)
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went to a stranger")
		}
		if r.URL.Path != "/a.parquet" {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}))
	defer srv.Close()
	c, err := New(Options{Token: "hf_secret", Retry: quick})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dir := filepath.Join(t.TempDir(), "new", "folder")
	p := Plain{URL: srv.URL + "/a.parquet", SHA256: sha256Of(body), Size: int64(len(body)), Path: filepath.Join(dir, "a.parquet"), Hint: "set BASE to a mirror"}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Path+".incomplete", body[:60_000], 0o666); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is there
		if err := c.Download(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		wantFile(t, p.Path, body)
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	if got := treeOf(t, dir); len(got) != 1 {
		t.Errorf("left %q", got)
	}

	missing := p
	missing.URL, missing.Path = srv.URL+"/b.parquet", filepath.Join(dir, "b.parquet")
	wantOneLine(t, c.Download(t.Context(), missing), srv.URL+"/b.parquet: 404", "set BASE to a mirror")

	// A file of the user's is not written over.
	mine := p
	mine.Path = filepath.Join(dir, "mine.parquet")
	if err := os.WriteFile(mine.Path, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	wantOneLine(t, c.Download(t.Context(), mine), mine.Path, sha256Of([]byte("mine")), p.SHA256, "move it away")
	wantFile(t, mine.Path, []byte("mine"))

	if got := treeOf(t, dir); len(got) != 2 {
		t.Errorf("left %q", got)
	}
	wrong := p
	wrong.Path, wrong.SHA256 = filepath.Join(dir, "c.parquet"), sha256Of(nil)
	wantOneLine(t, c.Download(t.Context(), wrong), p.URL, p.SHA256, sha256Of(nil))
	wrong.SHA256 = "c0ffee"
	wantOneLine(t, c.Download(t.Context(), wrong), "c0ffee")

	off, err := New(Options{Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := off.Download(t.Context(), p); err != nil {
		t.Errorf("offline, and it is there: %v", err)
	}
	wantOneLine(t, off.Download(t.Context(), missing), "b.parquet", "HF_HUB_OFFLINE")
}
