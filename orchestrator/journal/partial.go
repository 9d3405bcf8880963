package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// Partial is the file of the rollouts of a step that is being sampled, a line
// each in the order in which they finished. When the process ends in the
// middle, the next one finds them there. Add is safe for concurrent use.
//
// A line is one write to the file and is not synced: what the kernel has taken
// survives the process, however it ends, and that is what happens to runs. A
// machine that loses power loses the last seconds of lines, which are then
// sampled again, with the same seeds; thousands of syncs a step would buy no more.
type Partial struct {
	path   string
	f      *os.File
	known  []Recorded
	opened int64 // bytes, when it was opened

	mu   sync.Mutex
	size int64
	n    int   // rollouts in it
	err  error // of a failed write: nothing may follow what it left
}

// OpenPartial opens the partial file of a step, makes it if need be, and cuts
// off a last line that was never finished. The caller closes it.
func (d *Dir) OpenPartial(step int) (*Partial, error) {
	path := rolloutsPath(d.path, step, partial)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, fmt.Errorf("rollouts: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	if err != nil {
		return nil, fmt.Errorf("rollouts: %w", err)
	}
	known, whole, torn, err := readRollouts(path, f)
	if err != nil {
		err = fmt.Errorf("%w; remove the file to have the step sampled from its beginning", err)
	} else if torn {
		if err = f.Truncate(whole); err != nil {
			err = fmt.Errorf("rollouts: %w", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Partial{path: path, f: f, known: known, opened: whole, size: whole, n: len(known)}, nil
}

// Known are the rollouts that were there when the file was opened, and after a
// TakeBackOf all that it has left.
func (p *Partial) Known() []Recorded { return p.known }

// Len is how many rollouts there are.
func (p *Partial) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// Add writes a rollout. When it has returned nil, only the machine's end can lose it.
func (p *Partial) Add(r Rollout) error {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("%s: %w", p.path, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	n, err := p.f.Write(line.Bytes())
	if err != nil {
		p.err = fmt.Errorf("rollouts: %w", err)
		if n > 0 { // a part of the line: it would be cut off anyhow
			p.err = errors.Join(p.err, p.f.Truncate(p.size))
		}
		return p.err
	}
	p.size += int64(n)
	p.n++
	return nil
}

// TakeBack removes what was added since the file was opened.
func (p *Partial) TakeBack() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	added := make([]byte, p.size-p.opened)
	if _, err := p.f.ReadAt(added, p.opened); err != nil && len(added) > 0 {
		return fmt.Errorf("rollouts: %w", err)
	}
	if err := p.f.Truncate(p.opened); err != nil {
		return fmt.Errorf("rollouts: %w", err)
	}
	p.size, p.n = p.opened, p.n-bytes.Count(added, []byte("\n"))
	return nil
}

// TakeBackOf removes, of what was added since the file was opened, the rollouts
// that `of` tells of, and returns how many. Known has the others from then on.
// Nothing may be added meanwhile.
func (p *Partial) TakeBackOf(of func(Rollout) bool) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all, _, _, err := readRollouts(p.path, io.NewSectionReader(p.f, 0, p.size))
	if err != nil {
		return 0, err
	}
	// In memory: it is a part of one step.
	added := make([]byte, p.size-p.opened)
	if _, err := io.ReadFull(io.NewSectionReader(p.f, p.opened, p.size-p.opened), added); err != nil {
		return 0, fmt.Errorf("rollouts: %w", err)
	}
	kept, old := added[:0], len(all)-bytes.Count(added, []byte("\n"))
	known := all[:old:old]
	for i, line := range bytes.SplitAfter(bytes.Clone(added), []byte("\n")) {
		if len(line) == 0 {
			break
		}
		if r := all[old+i]; of(r.Rollout) {
			n++
		} else {
			kept, known = append(kept, line...), append(known, r)
		}
	}
	if n == 0 {
		p.known = known
		return 0, nil
	}
	// Cut off first: what is lost if the process dies here is sampled again.
	if err := p.f.Truncate(p.opened); err != nil {
		return n, fmt.Errorf("rollouts: %w", err)
	}
	p.size = p.opened
	if _, err := p.f.Write(kept); err != nil {
		p.err = fmt.Errorf("rollouts: %w", err)
		return n, errors.Join(p.err, p.f.Truncate(p.size))
	}
	p.size += int64(len(kept))
	p.known, p.n = known, len(known)
	return n, nil
}

// Close leaves the file as it is.
func (p *Partial) Close() error { return p.f.Close() }
