package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/justrl/justrl/internal/atomicdir"
)

// lineFile is a file of one JSON object a line, appended and synced line by line.
type lineFile struct {
	path string
	f    *os.File
}

// openLines opens path for appending, after cutting off a line that a crash tore.
func openLines(path string) (*lineFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	if err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	whole, length := int64(0), int64(0) // bytes up to the last line's end, and of the line being read
	for r := bufio.NewReader(f); ; {
		part, err := r.ReadSlice('\n')
		length += int64(len(part))
		switch {
		case err == nil:
			whole, length = whole+length, 0
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			if err := f.Truncate(whole); err != nil {
				return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
			}
			return &lineFile{path, f}, nil
		default: // what cannot be read must not be cut off
			return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
		}
	}
}

// append adds a line and syncs it. What a write leaves that fails half-way is cut off.
func (l *lineFile) append(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	n, err := l.f.Write(append(b, '\n'))
	if err == nil {
		err = l.f.Sync()
	} else if n > 0 {
		err = errors.Join(err, l.cut(int64(n)))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.path, atomicdir.FullDisk(err))
	}
	return nil
}

// cut takes the last n bytes away.
func (l *lineFile) cut(n int64) error {
	st, err := l.f.Stat()
	if err != nil {
		return err
	}
	return l.f.Truncate(st.Size() - n)
}

// readLines decodes every line of a lineFile.
func readLines[T any](l *lineFile) ([]T, error) {
	var all []T
	err := eachLine(l, func(_ []byte, v T) error {
		all = append(all, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// eachLine calls do for every line of a lineFile.
func eachLine[T any](l *lineFile, do func(raw []byte, v T) error) error {
	b, err := os.ReadFile(l.path)
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	n := 0
	for line := range bytes.Lines(b) {
		n++
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return fmt.Errorf("%s:%d: %w", l.path, n, err)
		}
		if err := do(line, v); err != nil {
			return err
		}
	}
	return nil
}

// keepLines rewrites the lines of an open lineFile that keep says, if any goes.
func keepLines[T any](l *lineFile, keep func(T) bool) error {
	all, err := os.ReadFile(l.path)
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	var kept bytes.Buffer
	dropped, n := false, 0
	for line := range bytes.Lines(all) {
		n++
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return fmt.Errorf("%s:%d: %w", l.path, n, err)
		}
		if !keep(v) {
			dropped = true
			continue
		}
		kept.Write(line) // as it is, whatever version wrote it
	}
	if !dropped {
		return nil
	}
	err = atomicdir.ReplaceFile(l.path, func(w io.Writer) error {
		_, err := w.Write(kept.Bytes())
		return err
	})
	if err != nil {
		return err
	}
	again, err := openLines(l.path)
	if err != nil {
		return err
	}
	err = l.f.Close()
	l.f = again.f
	return err
}
