package hub

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// disk mounts a file system of its own for a test.
func disk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("SKIPPED: a tmpfs cannot be mounted here (root is needed): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	cache := disk(t, "1m")
	f := newFakeHub(t)
	body := bytesOf(2 << 20)
	f.files["a.bin"], f.lfs["a.bin"] = body, true
	c := f.client(t, Options{Cache: cache})
	_, err := c.File(t.Context(), ref("a.bin"))
	wantOneLine(t, err, "blobs/"+sha256Of(body), "the disk is full; free some space", "2097152 bytes are still to come")
	if len(f.requests("GET")) != 0 {
		t.Error("fetched what has no room")
	}

	// Nobody says how long it is: the disk fills while it comes. With room, the next goes on.
	sized := f.client(t, Options{})
	p := Plain{URL: f.cdn.URL + "/blob/a.bin", SHA256: sha256Of(body), Size: -1, Path: filepath.Join(cache, "a.bin")}
	err = sized.Download(t.Context(), p)
	wantOneLine(t, err, "a.bin.incomplete", "the disk is full")
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v, want ENOSPC", err)
	}
	info, err := os.Stat(p.Path + ".incomplete")
	if err != nil || info.Size() < 100_000 {
		t.Fatalf("what had come is lost: %v", err)
	}
	if err := unix.Mount("tmpfs", cache, "tmpfs", unix.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
	f.forget()
	if err := sized.Download(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	wantFile(t, p.Path, body)
	if got := f.requests("GET"); len(got) != 1 || !strings.Contains(got[0], "bytes=") {
		t.Errorf("asked %q, want the rest alone", got)
	}
}

func TestReadOnlyCache(t *testing.T) {
	cache := disk(t, "4m")
	f := newFakeModel(t)
	c := f.client(t, Options{Cache: cache})
	s, err := c.Snapshot(t.Context(), model(), noBins)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", cache, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	before := treeOf(t, cache)
	var said []string
	c.o.Notice = func(s string) { said = append(said, s) }
	at := model()
	at.File = "config.json"
	if path, err := c.File(t.Context(), at); err != nil || path != filepath.Join(s.Dir, "config.json") {
		t.Errorf("a file that is there: %q, %v", path, err)
	}
	if again, err := c.Snapshot(t.Context(), model(), noBins); err != nil || again.Dir != s.Dir {
		t.Errorf("a snapshot that is there: %v", err)
	}
	if len(said) != 0 {
		t.Errorf("said %q", said)
	}
	at.Revision = "v2" // the same commit by another name, which the cache cannot learn
	if _, err := c.File(t.Context(), at); err != nil {
		t.Error(err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "does not learn") {
		t.Errorf("said %q", said)
	}
	at.File = "pytorch_model.bin"
	_, err = c.File(t.Context(), at)
	wantOneLine(t, err, cache+" cannot be written", "set HF_HUB_CACHE to a folder of your own", "read-only file system")
	err = c.Download(t.Context(), Plain{URL: f.cdn.URL + "/blob/a", SHA256: sha256Of(nil), Size: -1, Path: filepath.Join(cache, "sets", "a"), Move: "give --data-dir another"})
	wantOneLine(t, err, "cannot be written", "give --data-dir another")
	if after := treeOf(t, cache); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("it changed from %q to %q", before, after)
	}
}
