package safetensors

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// pending is a complete file that is not yet at its place. It is open, as the
// hash by name may still read it.
type pending struct {
	f         *os.File
	path      string
	committed bool
}

// stage writes a temporary file beside path with the care that is asked for, h
// if it is hashing; nothing is left of it on an error.
func stage(path string, with care, h *hashing, fill func(*sink) error) (_ *pending, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return nil, explain(path, err)
	}
	defer func() {
		if err != nil {
			h.stop() // it may be reading f
			err = errors.Join(explain(path, err), f.Close(), os.Remove(f.Name()))
		}
	}()
	s := newSink(f, h)
	if err := fill(s); err != nil {
		return nil, err
	}
	if err := s.buffer.Flush(); err != nil {
		return nil, err
	}
	// CreateTemp made it private; servers run as other users.
	if err := f.Chmod(0o644); err != nil {
		return nil, err
	}
	switch with {
	case synced:
		if err := f.Sync(); err != nil {
			return nil, err
		}
	case hashed:
		h.sums.Files[filepath.Base(path)] = hex.EncodeToString(s.sum.Sum(nil))
	}
	return &pending{f: f, path: path}, nil
}

// close closes the file; an error of it may be the first word of a full disk.
func (p *pending) close() error {
	if err := p.f.Close(); err != nil {
		return explain(p.path, err)
	}
	return nil
}

func (p *pending) commit() error {
	if err := os.Rename(p.f.Name(), p.path); err != nil {
		return explain(p.path, err)
	}
	p.committed = true
	return nil
}

// discard removes what was not committed. Its errors have no use: the caller is
// already returning the one that matters, and the file may be closed.
func (p *pending) discard() {
	if !p.committed {
		_ = p.f.Close()
		_ = os.Remove(p.f.Name())
	}
}

// explain names the file, and what to do about a full disk.
func explain(path string, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("write %s: the disk is full; free some space: %w", path, err)
	}
	return fmt.Errorf("write %s: %w", path, err)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
