//go:build (linux && (amd64 || arm64)) || (darwin && (amd64 || arm64))

package sympy

import (
	"crypto/rand"
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

// unpackPip puts the pip of this program into a new temporary folder.
func unpackPip() (dir string, remove func() error, err error) {
	files, err := pip.NewPipLib("justrl-" + rand.Text()) // a name that nobody can have put something under
	if err != nil {
		return "", nil, err
	}
	dir = files.GetExtractedPath()
	return dir, func() error { return errors.Join(files.Cleanup(), os.Remove(dir+".lock")) }, nil
}
