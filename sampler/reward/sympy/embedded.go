//go:build (linux && (amd64 || arm64)) || (darwin && (amd64 || arm64))

package sympy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kluctl/go-embed-python/pip"
	"github.com/kluctl/go-embed-python/python"
)

const embeddedHere = true

// unpackPython puts the CPython of this program into dir.
func unpackPython(dir string) error {
	if _, err := python.NewEmbeddedPythonWithTmpDir(dir, false); err != nil {
		return err
	}
	// The library's lock, and 50 MB that are there under two names.
	for _, extra := range []string{dir + ".lock", filepath.Join(dir, "lib", "libpython3.10.so")} {
		if err := os.Remove(extra); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// unpackPip puts the pip of this program into a folder below work, which is one
// of [os.TempDir].
func unpackPip(work string) (dir string, err error) {
	// The library has a folder of its own in mind, go-embedded-pip-NAME in
	// os.TempDir(), and nobody would remove it after a crash: NAME leads into work.
	// TMPDIR for the call would lead there too, and with it all other goroutines.
	parent, err := filepath.Abs(os.TempDir())
	if err != nil {
		return "", err
	}
	below, err := filepath.Rel(parent, filepath.Join(work, "pip"))
	if err != nil {
		return "", err
	}
	files, err := pip.NewPipLib("/../" + filepath.ToSlash(below))
	if err != nil {
		return "", err
	}
	return filepath.Abs(files.GetExtractedPath())
}
