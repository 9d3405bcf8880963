package atomicdir

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// files fills a folder with the given contents.
func files(contents map[string]string) func(string) error {
	return func(tmp string) error {
		for name, content := range contents {
			path := filepath.Join(tmp, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
				return err
			}
		}
		return nil
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// names lists what is in a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	if want == nil {
		want = []string{}
	}
	if d := cmp.Diff(want, names(t, dir)); d != "" {
		t.Errorf("content of the folder (-want +got):\n%s", d)
	}
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("error is %v, want one that says %q", err, text)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has more than one line: %q", err)
	}
}

func TestCreateThenRead(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "new", "step-1")
	wrote, err := Create(dir, Marker{Version: 7, Step: 3, Extra: map[string]string{"weights": "abc"}}, func(tmp string) error {
		if filepath.Dir(tmp) != filepath.Dir(dir) {
			t.Errorf("temporary folder %s is not beside %s: a rename could cross file systems", tmp, dir)
		}
		if _, err := Read(dir); !errors.Is(err, ErrIncomplete) {
			t.Errorf("Read before the end: %v, want ErrIncomplete", err)
		}
		return files(map[string]string{"config.json": "{}", "state/adam": "moments"})(tmp)
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Marker{Version: 7, Step: 3, Extra: map[string]string{"weights": "abc"},
		Files: map[string]string{"config.json": sum("{}"), "state/adam": sum("moments")}}
	if d := cmp.Diff(want, wrote); d != "" {
		t.Errorf("Create's marker (-want +got):\n%s", d)
	}
	read, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, read); d != "" {
		t.Errorf("Read's marker (-want +got):\n%s", d)
	}
	if err := Verify(dir); err != nil {
		t.Error(err)
	}
	wantNames(t, filepath.Dir(dir), "step-1")
	wantNames(t, dir, MarkerName, "config.json", "state")
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm()&0o055 == 0 {
		t.Errorf("mode %v, %v: a server that runs as another user could not read it", st.Mode(), err)
	}
}

func TestCreateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		there func(dir string) error
		want  string
	}{
		"a complete folder": {func(dir string) error {
			_, err := Create(dir, Marker{}, files(map[string]string{"precious": "1"}))
			return err
		}, "complete"},
		"somebody's folder": {func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o777), os.WriteFile(filepath.Join(dir, "precious"), []byte("1"), 0o666))
		}, "other files"},
		"a file": {func(dir string) error { return os.WriteFile(dir, nil, 0o666) }, "in the way"},
		"a link": {func(dir string) error { return os.Symlink("elsewhere", dir) }, "in the way"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "out")
			if err := c.there(dir); err != nil {
				t.Fatal(err)
			}
			_, err := Create(dir, Marker{}, func(string) error {
				t.Error("fill was called")
				return nil
			})
			wantError(t, err, c.want)
			if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%v: want one that is fs.ErrExist and names the folder", err)
			}
			wantNames(t, parent, "out")
		})
	}
}

func TestCreateIntoEmptyFolder(t *testing.T) {
	dir := t.TempDir()
	if _, err := Create(dir, Marker{Version: 1}, files(map[string]string{"a": "1"})); err != nil {
		t.Fatal(err)
	}
	if err := Verify(dir); err != nil {
		t.Error(err)
	}
}

// Nothing may be left of a Create that failed, whatever failed.
func TestCreateFails(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		fill func(tmp string) error
		want string
	}{
		"fill": {func(tmp string) error { return errors.Join(files(map[string]string{"a": "1"})(tmp), boom) }, "boom"},
		"a link": {func(tmp string) error { return os.Symlink("/etc/passwd", filepath.Join(tmp, "a")) },
			"only regular files"},
		"a file with the marker's name":         {files(map[string]string{MarkerName: "{}"}), "the marker's"},
		"a file with the pending marker's name": {files(map[string]string{pendingName: "{}"}), "the marker's"},
		"the folder is gone":                    {os.RemoveAll, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			_, err := Create(filepath.Join(parent, "out"), Marker{}, c.fill)
			wantError(t, err, c.want)
			wantNames(t, parent)
		})
	}
	t.Run("something took the place meanwhile", func(t *testing.T) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "out")
		_, err := Create(dir, Marker{}, func(string) error {
			return errors.Join(os.Mkdir(dir, 0o777), os.WriteFile(filepath.Join(dir, "precious"), nil, 0o666))
		})
		wantError(t, err, "in the way")
		wantNames(t, parent, "out")
		wantNames(t, dir, "precious")
	})
}

// A fill that panics is a bug, but not a reason to leave a folder behind: the
// next Create removes it.
func TestCrashes(t *testing.T) {
	for name, crash := range map[string]func(t *testing.T, dir string){
		"while filling": func(t *testing.T, dir string) {
			tmp := filepath.Join(filepath.Dir(dir), prefix(dir)+"dead")
			if err := files(map[string]string{"half": "1", "sub/half": "2"})(tmp); err != nil {
				t.Fatal(err)
			}
		},
		"between the two renames": func(t *testing.T, dir string) {
			if err := files(map[string]string{"old": "1", pendingName: "{}"})(dir); err != nil {
				t.Fatal(err)
			}
		},
		"while removing": func(t *testing.T, dir string) {
			if _, err := Create(dir, Marker{}, files(map[string]string{"old": "1"})); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, MarkerName), filepath.Join(dir, pendingName)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "out")
			crash(t, dir)
			for what, err := range map[string]error{"Read": second(Read(dir)), "Verify": Verify(dir)} {
				if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), dir) {
					t.Errorf("%s after the crash: %v, want ErrIncomplete with the folder's name", what, err)
				}
			}
			if _, err := Create(dir, Marker{Version: 2}, files(map[string]string{"new": "2"})); err != nil {
				t.Fatal(err)
			}
			wantNames(t, parent, "out")
			wantNames(t, dir, MarkerName, "new")
			if err := Verify(dir); err != nil {
				t.Error(err)
			}
		})
	}
}

func second[A any](_ A, err error) error { return err }

// Leftovers of other folders, and temporary folders that somebody is filling, stay.
func TestSweepKeepsTheLiving(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	other := filepath.Join(parent, prefix(filepath.Join(parent, "other"))+"dead")
	if err := os.Mkdir(other, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := Create(dir, Marker{Version: 1}, func(outer string) error {
		_, err := Create(dir, Marker{Version: 2}, func(inner string) error {
			_, err := os.Stat(outer)
			return err
		})
		return err
	})
	// The inner one was complete first; the outer one must not replace it.
	wantError(t, err, "complete")
	m, err := Read(dir)
	if err != nil || m.Version != 2 {
		t.Errorf("version %d (%v), want 2", m.Version, err)
	}
	wantNames(t, parent, filepath.Base(other), "out")
}

func TestSweep(t *testing.T) {
	if err := Sweep(filepath.Join(t.TempDir(), "not there")); err != nil {
		t.Errorf("of nothing: %v", err)
	}
	parent := t.TempDir()
	const dead, living = ".version-000007.tmp-abcdefgh27", ".version-000008.tmp-abcdefgh27"
	theirs := []string{".out.tmp-short", ".out.tmp-ABCDEFGH27", ".tmp-abcdefgh27", "out.tmp-abcdefgh27", "out"}
	for _, name := range append([]string{dead, living}, theirs...) {
		if err := files(map[string]string{"half": "1"})(filepath.Join(parent, name)); err != nil {
			t.Fatal(err)
		}
	}
	file := ".file.tmp-abcdefgh27"
	if err := os.WriteFile(filepath.Join(parent, file), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(filepath.Join(parent, living))
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range [][]string{append(theirs, file, living), append(theirs, file)} {
		if err := Sweep(parent); err != nil {
			t.Fatal(err)
		}
		wantNames(t, parent, slices.Sorted(slices.Values(left))...)
		if len(left) > len(theirs)+1 {
			if err := unlock(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Every temporary is one that Sweep knows.
	tmp, unlock, err := newTemporary(filepath.Join(parent, "out"), 0o777)
	if err != nil {
		t.Fatal(err)
	}
	if !temporary.MatchString(filepath.Base(tmp)) || len(filepath.Base(tmp)) != len(prefix("out"))+randomLen {
		t.Errorf("%s is not known as a temporary", tmp)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}

// A folder that another process has renamed to its place but not yet marked is locked, and so not a leftover.
func TestPublishingIsNotALeftover(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	if err := files(map[string]string{"a": "1", pendingName: "{}"})(dir); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Create(dir, Marker{}, func(string) error { return nil })
	wantError(t, err, "another process")
	wantNames(t, dir, pendingName, "a")
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, Marker{}, func(string) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestConcurrentCreates(t *testing.T) {
	for range 20 {
		parent := t.TempDir()
		dir := filepath.Join(parent, "out")
		const writers = 8
		errs := make([]error, writers)
		var g errgroup.Group
		for i := range writers {
			g.Go(func() error {
				_, errs[i] = Create(dir, Marker{Version: int64(i)}, files(map[string]string{"who": string(rune('a' + i))}))
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		m, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		for i, err := range errs {
			if (err == nil) != (int64(i) == m.Version) {
				t.Errorf("writer %d: %v, but version %d is there", i, err, m.Version)
			}
		}
		if err := Verify(dir); err != nil {
			t.Error(err)
		}
		wantNames(t, parent, "out")
	}
}

func TestVerifyFindsChanges(t *testing.T) {
	for name, c := range map[string]struct {
		change func(dir string) error
		want   string
	}{
		"nothing":            {func(string) error { return nil }, ""},
		"an unlisted file":   {func(dir string) error { return os.WriteFile(filepath.Join(dir, "notes"), nil, 0o666) }, ""},
		"a truncated file":   {func(dir string) error { return os.Truncate(filepath.Join(dir, "w", "a"), 2) }, "changed since it was published: w/a"},
		"a missing file":     {func(dir string) error { return os.Remove(filepath.Join(dir, "b")) }, "missing: b"},
		"one bit":            {func(dir string) error { return os.WriteFile(filepath.Join(dir, "b"), []byte("secone"), 0o666) }, "changed since it was published: b"},
		"a truncated marker": {func(dir string) error { return os.Truncate(filepath.Join(dir, MarkerName), 20) }, "damaged marker"},
		"an empty marker":    {func(dir string) error { return os.Truncate(filepath.Join(dir, MarkerName), 0) }, "damaged marker"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			if _, err := Create(dir, Marker{}, files(map[string]string{"w/a": "first", "b": "second"})); err != nil {
				t.Fatal(err)
			}
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
			err := Verify(dir)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, c.want)
			if !strings.Contains(err.Error(), dir) {
				t.Errorf("%q does not name the folder", err)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	if err := Remove(dir); err != nil {
		t.Errorf("of nothing: %v", err)
	}
	if _, err := Create(dir, Marker{}, files(map[string]string{"a": "1"})); err != nil {
		t.Fatal(err)
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
	wantNames(t, parent)
	if err := files(map[string]string{"precious": "1"})(dir); err != nil {
		t.Fatal(err)
	}
	wantError(t, Remove(dir), "in the way")
	wantNames(t, dir, "precious")
}

func FuzzParseMarker(f *testing.F) {
	good, err := Marker{Version: 1, Step: 2, Files: map[string]string{"a/b": sum("x")}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"files":{"../a":"` + sum("") + `"}}`))
	f.Add([]byte(`{"version":1}{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMarker(b)
		if err != nil {
			return
		}
		for name := range m.Files {
			if !filepath.IsLocal(filepath.FromSlash(name)) {
				t.Errorf("path %q outside the folder was let through", name)
			}
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := parseMarker(again); err != nil || cmp.Diff(m, n) != "" {
			t.Errorf("marker does not survive being written again: %v\n%s", err, cmp.Diff(m, n))
		}
	})
}
