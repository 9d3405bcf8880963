package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func (d *Dir) file(parts ...string) string {
	return filepath.Join(append([]string{d.path}, parts...)...)
}

func (d *Dir) readJSON(name string, into any) error {
	b, err := os.ReadFile(d.file(name))
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", d.file(name), err)
	}
	return nil
}

func (d *Dir) writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return d.write(name, append(b, '\n'))
}

func (d *Dir) write(name string, b []byte) error {
	return replace(d.file(name), func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// replace fills a file through a temporary sibling, and syncs both it and its
// folder: a reader sees the old text or the new, never a part.
func replace(path string, fill func(w io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<16)
	if err = fill(w); err == nil {
		err = w.Flush()
	}
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, explain(err)), os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// explain says what to do about a full disk.
func explain(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("the disk is full; free some space: %w", err)
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
