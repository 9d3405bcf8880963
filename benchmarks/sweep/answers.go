package sweep

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/justrl/justrl/internal/atomicdir"
)

// siblings are the folders with answers to the same questions, from the same
// weights, sampled the same way: those of the other judges.
func (e *Evaluation) siblings() ([]string, error) {
	base := filepath.Join(filepath.Dir(e.Dir), slug(e.Model.Name)+"-"+e.Sampling.String())
	found, err := filepath.Glob(base + "-judge-*")
	return append(found, base), err
}

// richest is the sibling's file that has most of a cell's answers; "" if none has any.
func (e *Evaluation) richest(c *Cell) (path string, n int, err error) {
	all, err := e.siblings()
	if err != nil {
		return "", 0, err
	}
	rel, err := filepath.Rel(e.Dir, c.File)
	if err != nil {
		return "", 0, err
	}
	for _, dir := range all {
		k, err := lines(filepath.Join(dir, rel))
		if err != nil {
			return "", 0, err
		}
		if k > n {
			path, n = filepath.Join(dir, rel), k
		}
	}
	return path, n, nil
}

// borrow copies the answers that siblings have and this evaluation has fewer of.
func (e *Evaluation) borrow() error {
	for _, c := range e.Cells {
		own, err := lines(c.File)
		if err != nil {
			return err
		}
		from, n, err := e.richest(c)
		if err != nil || n <= own {
			if err != nil {
				return err
			}
			continue
		}
		if err := copyFile(from, c.File); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	err = atomicdir.ReplaceFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
	return errors.Join(err, f.Close())
}

// sizes are those of the files of answers now, in bytes; 0 for what is not there.
func (e *Evaluation) sizes() ([]int64, error) {
	out := make([]int64, len(e.Cells))
	for i, c := range e.Cells {
		st, err := os.Stat(c.File)
		switch {
		case err == nil:
			out[i] = st.Size()
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return out, nil
}

// rewind drops what has been added since.
func (e *Evaluation) rewind(sizes []int64) error {
	for i, c := range e.Cells {
		err := os.Truncate(c.File, sizes[i])
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// remember notes how fast the servers were and how long the answers.
func (s *Sweep) remember(e *Evaluation, lanes []*lane) {
	err := s.change(func(st *State) {
		for _, l := range lanes {
			if v := s.pool.measured(l); v.Tokens > 0 {
				key := speedKey(l.server, e.Model)
				old := st.Speeds[key]
				st.Speeds[key] = Speed{old.Tokens + v.Tokens, old.Seconds + v.Seconds}
			}
		}
	})
	if err != nil {
		s.Notice("%v", err) // an estimate is not worth an evaluation
	}
}

// answered notes an answer's length; it is written with the next change.
func (s *Sweep) answered(e *Evaluation, set string, tokens int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.State.Lengths[lengthKey(e.Model, set)]
	s.State.Lengths[lengthKey(e.Model, set)] = Length{l.Answers + 1, l.Tokens + int64(tokens)}
}
