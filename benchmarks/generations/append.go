package generations

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/benchmarks"
)

// Appender adds generations to a file. A line is one write: when Add has
// returned, the answer outlives the process; only Close makes it outlive a loss
// of power. Add is safe for concurrent use.
type Appender struct {
	path string
	f    *os.File

	mu   sync.Mutex
	size int64 // of the whole lines
	err  error // of a failed write: nothing may follow what it left
}

// Append opens a file to be added to, and makes it if need be. It calls known
// with every generation that is there, cuts off a last line that was never
// finished, and keeps other processes from appending until Close. A broken line
// before the last is a [LineError], and the file stays as it is.
func Append(path string, known func(g benchmarks.Generation) error) (*Appender, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	a := &Appender{path: path, f: f}
	if err := a.recover(known); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return a, nil
}

func (a *Appender) recover(known func(g benchmarks.Generation) error) error {
	if err := unix.Flock(int(a.f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s: another process is writing it: %w", a.path, err)
	}
	st, err := a.f.Stat()
	if err != nil {
		return err
	}
	a.size = st.Size()
	last := Line{}
	blank := true
	// An empty file is a beginning, not a fault.
	if err := blankUntil(a.f, &blank); err != nil {
		return fmt.Errorf("%s: %w", a.path, err)
	}
	if blank {
		a.size = 0
		return a.f.Truncate(0)
	}
	if _, err := a.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	err = scanFrom(a.path, a.f, func(at Line, r record) error {
		last = at
		return known(r.generation())
	})
	var torn *TornError
	switch {
	case errors.As(err, &torn):
		a.size = torn.Offset
		return a.f.Truncate(a.size)
	case err != nil:
		return err
	case last.Offset+int64(last.Length) == a.size: // whole but for its line break
		a.size++
		_, err := a.f.Write([]byte("\n"))
		return err
	}
	return nil
}

// blankUntil tells whether there is nothing but white space.
func blankUntil(r io.Reader, blank *bool) error {
	b := make([]byte, 4096)
	for *blank {
		n, err := r.Read(b)
		*blank = len(bytes.TrimSpace(b[:n])) == 0
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// Add writes a generation.
func (a *Appender) Add(g benchmarks.Generation) error {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(g); err != nil {
		return fmt.Errorf("%s: %w", a.path, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	n, err := a.f.Write(line.Bytes())
	if err != nil {
		a.err = fmt.Errorf("%s: %w", a.path, err)
		if n > 0 { // a part of the line: it would be cut off anyhow
			a.err = errors.Join(a.err, a.f.Truncate(a.size))
		}
		return a.err
	}
	a.size += int64(n)
	return nil
}

// Close syncs and closes the file.
func (a *Appender) Close() error { return errors.Join(a.f.Sync(), a.f.Close()) }
