package sympy

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/filelock"
)

// However many want it at once, it is made once, and nobody sees half of it.
func TestEnsure(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache", "grader")
	var made, told atomic.Int32
	fill := func(_ context.Context, tmp string) error {
		made.Add(1)
		return os.WriteFile(filepath.Join(tmp, "lib"), []byte("1"), 0o600)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := ensure(t.Context(), dir, func(string) { told.Add(1) }, fill); err != nil {
				t.Error(err)
			}
			if err := atomicdir.Verify(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || told.Load() != 1 {
		t.Errorf("made %d times, told %d times", made.Load(), told.Load())
	}
}

func TestEnsureFails(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "grader")
	broken := errors.New("broken")
	err := ensure(t.Context(), dir, func(string) {}, func(_ context.Context, tmp string) error {
		return errors.Join(os.WriteFile(filepath.Join(tmp, "half"), nil, 0o600), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) != 1 || left[0].Name() != "grader.lock" {
		t.Errorf("left behind: %v, %v", left, err)
	}
	// While another process has the lock, a user can still give up.
	unlock, err := filelock.Wait(t.Context(), dir+".lock", lockPoll)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ensure(ctx, dir, func(string) {}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for the lock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

// All of pip is in the folder that it was to be in, the library's lock included:
// what is left by a process that was killed is swept with that.
func TestUnpackPip(t *testing.T) {
	if !embeddedHere {
		t.Skip("SKIPPED: the program brings no Python here")
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	work, remove, err := atomicdir.Scratch("setup")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := unpackPip(work)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "pip", "__main__.py")); err != nil || filepath.Dir(dir) != work {
		t.Errorf("pip is in %s, want it in %s: %v", dir, work, err)
	}
	if all, err := os.ReadDir(tmp); err != nil || len(all) != 1 {
		t.Errorf("beside it there are %v, %v", all, err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if all, err := os.ReadDir(tmp); err != nil || len(all) != 0 {
		t.Errorf("left %v, %v", all, err)
	}
}

// Without PyPI, and with something else in its place: one line that says what to do.
func TestSetUpWithoutPyPI(t *testing.T) {
	wheels := t.TempDir()
	writeArchive(t, filepath.Join(wheels, "pylatexenc-2.10.tar.gz"), "pylatexenc-2.10/setup.py", "raise SystemExit('it was run')")
	for _, name := range []string{"mpmath-1.3.0-py3-none-any.whl", "sympy-1.13.1-py3-none-any.whl"} {
		if err := os.WriteFile(filepath.Join(wheels, name), []byte("not what was pinned"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"offline", map[string]string{"PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_RETRIES": "0", "PIP_FIND_LINKS": ""}, "pip: Could not find a version that satisfies the requirement mpmath==1.3.0"},
		{"other wheels", map[string]string{"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels}, "pip: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			own(t) // skips where the program brings no Python
			cache := t.TempDir()
			t.Setenv("XDG_CACHE_HOME", cache)
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			p, err := Open(t.Context(), Options{Workers: 1})
			if err == nil {
				t.Fatal(errors.Join(errors.New("it was set up"), p.Close()))
			}
			var setup *SetupError
			if !errors.As(err, &setup) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v", err)
			}
			for _, word := range []string{cache, "PIP_INDEX_URL", "--python", "sympy==1.13.1", "--verifier strict-box"} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not say %s", err, word)
				}
			}
		})
	}
	t.Run("another source archive", func(t *testing.T) {
		python := own(t)
		work := t.TempDir()
		pip, err := unpackPip(work)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("PIP_NO_INDEX", "1")
		t.Setenv("PIP_FIND_LINKS", wheels)
		lib := t.TempDir()
		err = runPip(t.Context(), python.exe, pip, work, []string{"-B", "-c", fetchSource, "pylatexenc", Pinned.Pylatexenc, pylatexencSHA256, lib})
		if err == nil || !strings.Contains(err.Error(), "DO NOT MATCH THE HASHES") || strings.Contains(err.Error(), "it was run") {
			t.Errorf("%v", err)
		}
		if left, err := os.ReadDir(lib); err != nil || len(left) > 0 {
			t.Errorf("taken from it: %v, %v", left, err)
		}
	})
}

func writeArchive(t *testing.T, path, name, text string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	err = w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))})
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err = errors.Join(err, w.Close(), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// --python: an interpreter of the user's, here the program's own in disguise.
func TestUsersPython(t *testing.T) {
	python := own(t)
	script := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	older := t.TempDir() // a library of another version, before the right one
	if err := os.CopyFS(filepath.Join(older, "pylatexenc"), os.DirFS(filepath.Join(python.path[0], "pylatexenc"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(older, "pylatexenc", "version.py"), []byte("version_str = '2.9'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(path string) string {
		return script("python", fmt.Sprintf("PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=%s exec %s \"$@\"", path, python.exe))
	}
	for _, tc := range []struct{ name, python, fails, says string }{
		{"as it should be", with(python.path[0]), "", ""},
		{"another version", with(older + ":" + python.path[0]), "", "pylatexenc 2.9, not Python 3.10.16, sympy 1.13.1, mpmath 1.3.0, pylatexenc 2.10: some verdicts may differ"},
		{"no libraries", python.exe, "it has no sympy, no mpmath, no pylatexenc", ""},
		{"not Python", script("cat", "echo hello"), "it does not answer as CPython does", ""},
		{"it fails", script("fail", "echo first >&2; echo the last word >&2; exit 3"), "the last word", ""},
		{"not there", filepath.Join(t.TempDir(), "python"), "no such file", ""},
		{"not a program", script("x", "") + "/python", "not a directory", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var said []string
			p, err := Open(t.Context(), Options{Workers: 1, Python: tc.python, Report: func(l string) { said = append(said, l) }})
			if tc.fails != "" {
				var setup *SetupError
				if !errors.As(err, &setup) || !strings.Contains(err.Error(), tc.fails) || !strings.Contains(err.Error(), tc.python) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%v, want %q", err, tc.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if same, err := p.Equal(t.Context(), "sqrt(8)", "2*sqrt(2)"); err != nil || !same {
				t.Errorf("%t, %v", same, err)
			}
			if all := strings.Join(said, "\n"); tc.says == "" && all != "" || !strings.Contains(all, tc.says) {
				t.Errorf("it says %q, want %q", all, tc.says)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestVersionsDiffer(t *testing.T) {
	with := func(change func(*Versions)) Versions { v := Pinned; change(&v); return v }
	for _, tc := range []struct {
		name string
		v    Versions
		want bool
	}{
		{"as pinned", Pinned, false},
		{"another patch", with(func(v *Versions) { v.Python = "3.10.2" }), false},
		{"3.11 says the same", with(func(v *Versions) { v.Python = "3.11.7" }), false},
		{"3.12 does not", with(func(v *Versions) { v.Python = "3.12.1" }), true},
		{"3.1 is not 3.10", with(func(v *Versions) { v.Python = "3.1.0" }), true},
		{"another sympy", with(func(v *Versions) { v.Sympy = "1.12" }), true},
		{"another mpmath", with(func(v *Versions) { v.Mpmath = "1.4.0" }), true},
		{"none", Versions{}, true},
	} {
		if got := tc.v.differs(); (got != "") != tc.want {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
}
