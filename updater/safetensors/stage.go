package safetensors

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// pending is a complete file that is not yet at its place.
type pending struct {
	tmp, path string
	committed bool
}

// stage writes a temporary file beside path, and syncs it if it is to be;
// nothing is left of it on an error.
func stage(path string, sync bool, fill func(*bufio.Writer) error) (_ *pending, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return nil, explain(path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(explain(path, err), ignoreClosed(f.Close()), os.Remove(f.Name()))
		}
	}()
	w := bufio.NewWriterSize(&eager{f: f}, 1<<20)
	if err := fill(w); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	// CreateTemp made it private; servers run as other users.
	if err := f.Chmod(0o644); err != nil {
		return nil, err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return nil, err
		}
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return &pending{tmp: f.Name(), path: path}, nil
}

func (p *pending) commit() error {
	if err := os.Rename(p.tmp, p.path); err != nil {
		return explain(p.path, err)
	}
	p.committed = true
	return nil
}

// discard removes what was not committed. Its error has no use: the caller is
// already returning the one that matters.
func (p *pending) discard() {
	if !p.committed {
		_ = os.Remove(p.tmp)
	}
}

// explain names the file, and what to do about a full disk.
func explain(path string, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("write %s: the disk is full; free some space: %w", path, err)
	}
	return fmt.Errorf("write %s: %w", path, err)
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
