package atomicdir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ReplaceFile fills a file through a temporary sibling, named .BASE-NUMBER, and
// syncs both it and its folder: a reader sees the old text or the new, never a
// part. On an error the old one is still there and the sibling is not. An error
// of fill's own, one that is not about writing to w, comes as it is; any other
// begins with the path.
func ReplaceFile(path string, fill func(w io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	sink := &sink{w: f}
	w := bufio.NewWriterSize(sink, 1<<16)
	if err = fill(w); err != nil && sink.err == nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	} else if err == nil {
		err = w.Flush()
	}
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, FullDisk(err)), os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// sink remembers whether a write has failed.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if err != nil {
		s.err = err
	}
	return n, err
}
