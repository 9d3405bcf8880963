package hub

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// without is a client on a file system that has no locks.
func without(c *Client) *Client {
	c.flock = func(int, int) error { return unix.ENOLCK }
	return c
}

// halfway has the cdn answer its first request with half of body; the rest comes
// when goOn is closed. It closes begun when the half has been sent.
func halfway(body []byte, begun chan<- struct{}, goOn <-chan struct{}) func(w http.ResponseWriter, r *http.Request) bool {
	var once sync.Once
	return func(w http.ResponseWriter, r *http.Request) bool {
		mine := false
		if strings.HasPrefix(r.URL.Path, "/blob/") {
			once.Do(func() { mine = true })
		}
		if !mine {
			return false
		}
		w.Header().Set("Content-Length", "600000")
		_, _ = w.Write(body[:300_000])
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-goOn
		_, _ = w.Write(body[300_000:])
		return true
	}
}

// Without locks, and with locks that keep nobody out, two that fetch one file at a
// time do each other no harm, be it that one begins anew while the other writes.
func TestTwoWithoutLocks(t *testing.T) {
	body := bytesOf(600_000)
	for _, tc := range []struct {
		name  string
		flock func(int, int) error
		asked string // the range that the second asks for first
	}{
		{"no locks", func(int, int) error { return unix.ENOLCK }, ""},
		{"not even the call", func(int, int) error { return unix.ENOSYS }, ""},
		{"everybody gets the lock", func(int, int) error { return nil }, "bytes=300000-"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakeHub(t)
			f.files["a.bin"], f.lfs["a.bin"] = body, true
			begun, goOn, written := make(chan struct{}), make(chan struct{}), make(chan struct{})
			first := halfway(body, begun, goOn)
			f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Range") != "" && strings.HasPrefix(r.URL.Path, "/blob/") { // no ranges: it has to begin anew
					_, _ = w.Write(body)
					return true
				}
				return first(w, r)
			})
			cache := t.TempDir()
			one := f.client(t, Options{Cache: cache, Progress: func(p Progress) {
				if p.Done == 300_000 {
					close(written)
				}
			}})
			two := f.client(t, Options{Cache: cache})
			one.flock, two.flock = tc.flock, tc.flock
			done := make(chan error, 1)
			go func() {
				_, err := one.File(t.Context(), ref("a.bin"))
				done <- err
			}()
			<-begun
			<-written
			path, err := two.File(t.Context(), ref("a.bin"))
			if err != nil {
				t.Error(err)
			}
			close(goOn)
			if err := <-done; err != nil {
				t.Error(err)
			}
			wantFile(t, path, body)
			got := f.requests("GET cdn")
			if len(got) != 2 || !strings.HasSuffix(got[1], tc.asked) {
				t.Errorf("asked %q", got)
			}
			blobs, err := os.ReadDir(filepath.Join(two.repo(ref("")), "blobs"))
			if err != nil || len(blobs) != 1 {
				t.Errorf("beside the blob there are %v, %v", blobs, err)
			}
		})
	}
}

// Without locks a part belongs to its process: what is broken off goes, what
// another has there stays, and no lock file is left that filelock would wait for.
func TestFailureWithoutLocks(t *testing.T) {
	f := newFakeHub(t)
	body := bytesOf(100_000)
	f.files["a.bin"], f.lfs["a.bin"] = body, true
	f.setFault(cut(f, 10_000, func(int) bool { return true }))
	var said []string
	c := without(f.client(t, Options{Notice: func(s string) { said = append(said, s) }}))
	foreign := filepath.Join(c.repo(ref("")), "blobs", sha256Of(body)+".incomplete")
	if err := os.MkdirAll(filepath.Dir(foreign), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(foreign, []byte("another's"), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := c.File(t.Context(), ref("a.bin"))
	wantOneLine(t, err, "cut short after 40000 of 100000 bytes")
	if got, want := treeOf(t, c.o.Cache), []string{"datasets--org--name/blobs/" + sha256Of(body) + ".incomplete"}; !slices.Equal(got, want) {
		t.Errorf("there is %q, want %q", got, want)
	}
	wantFile(t, foreign, []byte("another's"))
	if got := f.requests("GET cdn"); len(got) != 4 || !strings.HasSuffix(got[3], "bytes=30000-") {
		t.Errorf("within a call it goes on all the same, but asked %q", got)
	}
	f.setFault(nil)
	path, err := c.File(t.Context(), ref("a.bin"))
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, body)
	wantFile(t, foreign, []byte("another's"))
	n := 0
	for _, s := range said {
		if strings.Contains(s, "has no locks") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("said %d times that there are no locks: %q", n, said)
	}
	// A plain file likewise.
	p := Plain{URL: f.cdn.URL + "/blob/a.bin", SHA256: sha256Of(body), Size: -1, Path: filepath.Join(t.TempDir(), "a")}
	if err := os.WriteFile(p.Path+".incomplete", []byte("another's"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := c.Download(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	wantFile(t, p.Path, body)
	wantFile(t, p.Path+".incomplete", []byte("another's"))
	if got := treeOf(t, filepath.Dir(p.Path)); !slices.Equal(got, []string{"a", "a.incomplete"}) {
		t.Errorf("left %q", got)
	}
}

// A lock file of filelock's stays where there are no locks: there it is the lock.
func TestForeignLockFileStays(t *testing.T) {
	c := without(newFakeHub(t).client(t, Options{}))
	path := filepath.Join(t.TempDir(), "a.lock")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	l, err := c.lock(t.Context(), path, "a")
	if err != nil || l.locked {
		t.Fatalf("%+v, %v", l, err)
	}
	l.remove()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// Of two writers of one part the one that was pushed out neither cuts nor renames the other's file.
func TestPartOfTwo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	write := func(p *part, s string) {
		t.Helper()
		n, err := p.file.WriteAt([]byte(s), p.have)
		if err != nil {
			t.Fatal(err)
		}
		p.have += int64(n)
	}
	one, err := openPart(path, true)
	if err != nil {
		t.Fatal(err)
	}
	write(one, "first half")
	two, err := openPart(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := two.restart(); err != nil {
		t.Fatal(err)
	}
	write(two, "other")
	if b := make([]byte, 20); true {
		if n, _ := one.file.ReadAt(b, 0); string(b[:n]) != "first half" {
			t.Errorf("the first has %q", b[:n])
		}
	}
	if err := one.publish(); !errors.Is(err, errTaken) {
		t.Errorf("%v, want %v", err, errTaken)
	}
	wantFile(t, path+".incomplete", []byte("other"))
	if err := two.publish(); err != nil {
		t.Error(err)
	}
	wantFile(t, path, []byte("other"))
	if got := treeOf(t, filepath.Dir(path)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("left %q", got)
	}
}

// A complete part that cannot get its name, as after a kill, is found by the next process.
func TestPublishLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	p, err := openPart(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.file.WriteAt([]byte("all of it"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(path+"/in the way", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := p.publish(); err == nil {
		t.Fatal("a file took a folder's name")
	}
	wantFile(t, path+".incomplete", []byte("all of it"))
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if got := treeOf(t, filepath.Dir(path)); !slices.Equal(got, []string{"a.incomplete"}) {
		t.Errorf("left %q", got)
	}
	if p, err = openPart(path, true); err != nil || p.have != 9 {
		t.Fatalf("%+v, %v", p, err)
	}
	// The name may be there already, of a process that was killed just after.
	if err := os.Link(p.name, path); err != nil {
		t.Fatal(err)
	}
	if err := p.publish(); err != nil {
		t.Error(err)
	}
	wantFile(t, path, []byte("all of it"))
	if got := treeOf(t, filepath.Dir(path)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("left %q", got)
	}
}

// What killed processes left under names of their own is removed, once it is old:
// nothing of another's that is alive, of another tool, or that others go on with.
func TestSweep(t *testing.T) {
	dir, hash := t.TempDir(), strings.Repeat("a1", 20)
	old := time.Now().Add(-staleAfter - time.Hour)
	for name, at := range map[string]time.Time{
		"mine.ABCDEFG2.incomplete":              old,
		hash + ".ABCDEFG2.incomplete":           old,
		hash + ".ABCDEFG3.incomplete":           time.Now().Add(-staleAfter / 2),
		hash + ".incomplete":                    old,
		hash + ".abcdef12.incomplete":           old, // of huggingface_hub
		hash:                                    old,
		"mine.incomplete":                       old,
		"another.ABCDEFG2.incomplete":           old,
		"mine.ABCDEFG2.incomplete.txt":          old,
		"folder/mine.ABCDEFG2.incomplete":       old,
		"mine.ABCDEFG4.incomplete/not a part":   old,
		hash + ".ABCDEFGH2.incomplete":          old,
		"x" + hash[1:] + ".ABCDEFG2.incomplete": old,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	before := treeOf(t, dir)
	for _, locked := range []bool{false, true} {
		p, err := openPart(filepath.Join(dir, "mine"), locked)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.keep(); err != nil {
			t.Fatal(err)
		}
		want := slices.DeleteFunc(slices.Clone(before), func(name string) bool {
			return name == "mine.ABCDEFG2.incomplete" || name == hash+".ABCDEFG2.incomplete"
		})
		if got := treeOf(t, dir); len(want) != len(before)-2 || !slices.Equal(got, want) {
			t.Errorf("left %q, want %q", got, want)
		}
	}
}

// What is no file is not written to.
func TestPartIsAFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := os.MkdirAll(path+".incomplete/b", 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := openPart(path, true)
	wantOneLine(t, err, path+".incomplete", "is a directory")
}
