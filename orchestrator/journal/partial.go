package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/justrl/justrl/internal/atomicdir"
)

// Partial is the file of the rollouts of a step that is being sampled, a line
// each in the order in which they finished. When the process ends in the
// middle, the next one finds them there. Add is safe for concurrent use.
//
// A line is one write to the file and is not synced: what the kernel has taken
// survives the process, however it ends, and that is what happens to runs. A
// machine that loses power loses the last seconds of lines, which are then
// sampled again, with the same seeds; thousands of syncs a step would buy no more.
// What such an end leaves in the middle of the file instead of lines, or a disk
// makes of them, is found by their checksums.
type Partial struct {
	path   string
	f      *os.File
	known  []Recorded
	opened int64 // bytes, when it was opened
	before int   // rollouts, then
	damage Damage

	mu   sync.Mutex
	size int64
	n    int   // rollouts in it
	err  error // of a failed write: nothing may follow what it left
}

// Damage is what was found in a partial file that is no rollout, nor the torn end
// of one. Whoever opened it samples those rollouts again; the lines stay in the file.
type Damage struct {
	Lines int   // 0 for none
	First error // what is wrong with the first: begins with file:line
}

// OpenPartial opens the partial file of a step, makes it if need be, and cuts
// off a last line that was never finished. Whole lines that cannot be trusted are
// left out ([Partial.Damage]). The caller closes it.
func (d *Dir) OpenPartial(step int) (*Partial, error) {
	path := rolloutsPath(d.path, step, partial)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, fmt.Errorf("rollouts: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	if err != nil {
		return nil, fmt.Errorf("rollouts: %w", err)
	}
	p := &Partial{path: path, f: f}
	var torn bool
	p.opened, torn, p.damage, err = readPartial(path, f, func(r Recorded, _, _ int64) { p.known = append(p.known, r) })
	if err == nil && torn {
		if err = f.Truncate(p.opened); err != nil {
			err = fmt.Errorf("rollouts: %w", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	p.size, p.n, p.before = p.opened, len(p.known), len(p.known)
	return p, nil
}

// readPartial calls do for every rollout of a partial file that can be trusted, with
// the bytes from which on and up to which its line is there. whole is how many bytes
// the lines that have an end take up; torn tells that something follows them.
func readPartial(path string, from io.Reader, do func(r Recorded, start, end int64)) (whole int64, torn bool, damage Damage, err error) {
	lines := boundedLines{r: bufio.NewReaderSize(from, 1<<16)}
	seen := map[sampleKey]int{}
	for n := 1; ; n++ {
		b, ended, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return whole, false, damage, nil
		case err != nil && !errors.Is(err, errLongLine):
			return 0, false, damage, fmt.Errorf("%s: %w", path, err)
		case !ended:
			return whole, true, damage, nil
		}
		start := whole
		whole += lines.size
		at := fmt.Sprintf("%s:%d", path, n)
		var r Rollout
		if err == nil {
			r, err = parsePartialLine(b)
		}
		if err == nil {
			err = unseen(seen, r, n)
		}
		switch {
		case errors.Is(err, errTakenBack):
		case err != nil:
			if damage.Lines++; damage.First == nil {
				damage.First = fmt.Errorf("%s: %w", at, err)
			}
		default:
			do(Recorded{r, at}, start, whole)
		}
	}
}

// Known are the rollouts that were there when the file was opened, and after a
// TakeBackOf all that it has left.
func (p *Partial) Known() []Recorded { return p.known }

// Damage is what was left out when the file was opened.
func (p *Partial) Damage() Damage { return p.damage }

// Len is how many rollouts there are.
func (p *Partial) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// Add writes a rollout. When it has returned nil, only the machine's end can lose it.
func (p *Partial) Add(r Rollout) error {
	line, err := checksummed(r)
	if err != nil {
		return fmt.Errorf("%s: %w", p.path, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	n, err := p.f.Write(line)
	if err != nil {
		p.err = fmt.Errorf("rollouts: %w", atomicdir.FullDisk(err))
		if n > 0 { // a part of the line: it would be cut off anyhow
			p.err = errors.Join(p.err, p.f.Truncate(p.size))
		}
		return p.err
	}
	p.size += int64(n)
	p.n++
	return nil
}

// TakeBack removes what was added since the file was opened, and calls gone for
// each rollout of it that was not taken back before. Nothing may be added meanwhile.
func (p *Partial) TakeBack(gone func(Rollout)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _, _, err := readPartial(p.path, io.NewSectionReader(p.f, p.opened, p.size-p.opened), func(r Recorded, _, _ int64) { gone(r.Rollout) })
	if cut := p.f.Truncate(p.opened); cut != nil { // whatever could be read of it
		return errors.Join(err, fmt.Errorf("rollouts: %w", cut))
	}
	p.size, p.n, p.known = p.opened, p.before, p.known[:p.before]
	return err
}

// TakeBackOf removes, of what was added since the file was opened, the rollouts
// that `of` tells of, and returns how many. Known has the others from then on.
// Nothing may be added meanwhile. Their lines are marked where they are, one small
// write each: that needs no room on the disk, and whenever it is broken off each
// line counts or does not.
func (p *Partial) TakeBackOf(of func(Rollout) bool) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var known []Recorded
	var marks []int64
	_, _, _, err = readPartial(p.path, io.NewSectionReader(p.f, 0, p.size), func(r Recorded, start, end int64) {
		if start >= p.opened && of(r.Rollout) {
			marks = append(marks, end-int64(len(crcEnd)+crcDigits))
		} else {
			known = append(known, r)
		}
	})
	if err != nil {
		return 0, err
	}
	if len(marks) > 0 {
		if err := p.mark(marks); err != nil {
			return 0, fmt.Errorf("rollouts: %w", err)
		}
	}
	p.known, p.n = known, len(known)
	return len(marks), nil
}

// mark writes takenBack over the checksums at the given places. The file is opened
// anew: what is open for appending writes nowhere else.
func (p *Partial) mark(places []int64) (err error) {
	f, err := os.OpenFile(p.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, at := range places {
		if _, err := f.WriteAt([]byte(takenBack), at); err != nil {
			return err
		}
	}
	return f.Sync()
}

// Close leaves the file as it is.
func (p *Partial) Close() error { return p.f.Close() }
