package generations

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/justrl/justrl/benchmarks"
)

// Problem is one that a file has answers to.
type Problem struct {
	ID      int
	Answer  string // the ground truth
	Samples []Sample
}

// Sample is an answer that is still on disk.
type Sample struct {
	Line
	Ordinal int // among the file's generations, in file order, from 0
	Seed    int64
}

// Index is a file that was read once, whole, and is open to be read problem by
// problem: what is compared within a problem (its 4-grams) would not fit into
// memory for all problems at once. Read is safe for concurrent use.
type Index struct {
	Path     string
	Problems []Problem // by id; each has at least one sample, in file order
	Count    int       // of all generations
	Torn     *TornError
	f        *os.File
	scratch  sync.Pool // of *scratch
}

type scratch struct {
	line []byte
	s    scanner
}

// OpenIndex reads a file from end to end, checking every line. A torn last line
// is no error, it is in Torn. The caller closes the Index.
func OpenIndex(path string) (*Index, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	x := &Index{Path: path, f: f}
	if err := x.fill(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return x, nil
}

func (x *Index) fill() error {
	if st, err := x.f.Stat(); err != nil {
		return err
	} else if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file: its answers are read problem by problem, copy it to one", x.Path)
	}
	byID := map[int]*Problem{}
	err := scanFrom(x.Path, x.f, func(at Line, r record) error {
		p := byID[r.id]
		if p == nil {
			p = &Problem{ID: r.id, Answer: string(r.answer)}
			byID[r.id] = p
		}
		if string(r.answer) != p.Answer {
			return fmt.Errorf("the answer of problem %d is %.60q here and %.60q in line %d: are these two sets?", r.id, r.answer, p.Answer, p.Samples[0].Number)
		}
		p.Samples = append(p.Samples, Sample{Line: at, Ordinal: x.Count, Seed: r.seed})
		x.Count++
		return nil
	})
	if errors.As(err, &x.Torn) && x.Count > 0 {
		err = nil
	}
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		x.Problems = append(x.Problems, *byID[id])
	}
	return nil
}

// Read reads one of the problem's samples again.
func (x *Index) Read(p Problem, s Sample) (benchmarks.Generation, error) {
	b, _ := x.scratch.Get().(*scratch)
	if b == nil {
		b = new(scratch)
	}
	defer x.scratch.Put(b)
	if cap(b.line) < s.Length {
		b.line = make([]byte, s.Length+s.Length/4)
	}
	line := b.line[:s.Length]
	fail := func(err error) (benchmarks.Generation, error) {
		return benchmarks.Generation{}, &LineError{x.Path, s.Number, err}
	}
	if _, err := x.f.ReadAt(line, s.Offset); err != nil && !errors.Is(err, io.EOF) {
		return fail(err)
	}
	if s.Number == 1 {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	r, err := b.s.decode(line)
	if err != nil || r.id != p.ID || r.seed != s.Seed || string(r.answer) != p.Answer {
		return fail(errors.Join(errors.New("the file was changed while it was being read"), err))
	}
	return r.generation(), nil
}

// Close closes the file.
func (x *Index) Close() error { return x.f.Close() }
