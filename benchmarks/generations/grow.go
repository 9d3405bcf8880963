package generations

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Grow gives path, where there is no such file, to the one beside it that has
// the same name but for fewer samples a problem, so that Append goes on with it.
// Of several it is the one with the most; without one it does nothing. A file
// that another process appends to is an error.
func Grow(path string) error {
	want, ok := ParseName(path)
	if !ok {
		return nil
	}
	switch _, err := os.Stat(path); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	n, err := strconv.Atoi(want.N)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	old, most := "", 0
	for _, f := range files {
		name, _ := ParseName(f.Name())
		of, err := strconv.Atoi(name.N)
		if err != nil || of >= n || of <= most {
			continue
		}
		name.N = want.N
		if name == want && filepath.Ext(f.Name()) == Extension {
			old, most = filepath.Join(filepath.Dir(path), f.Name()), of
		}
	}
	if old == "" {
		return nil
	}
	return rename(old, path)
}

// rename renames a file that nobody appends to.
func rename(old, path string) error {
	f, err := os.Open(old)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("%s: another process is writing it: %w", old, err), f.Close())
	}
	return errors.Join(os.Rename(old, path), f.Close())
}
