package sweep

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/internal/atomicdir"
)

// sibling is the folder of an evaluation with answers to the same questions,
// from the same weights, sampled the same way: of another judge, or with fewer
// answers a problem, whose seeds are the first of the others'.
type sibling struct {
	dir    string
	record evaluate.Record
}

// siblings are those that have a record, this evaluation itself left out.
func (e *Evaluation) siblings() ([]sibling, error) {
	cells := filepath.Dir(e.Dir)
	folders, err := os.ReadDir(cells)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []sibling
	for _, f := range folders {
		if f.Name() == e.Name || !e.like(f.Name()) {
			continue
		}
		r, err := evaluate.ReadRecord(filepath.Join(cells, f.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, sibling{filepath.Join(cells, f.Name()), r})
	}
	return all, nil
}

// like tells from an evaluation's name whether it differs in nothing but the
// judge and how many answers a problem has.
func (e *Evaluation) like(name string) bool {
	before, after, _ := strings.Cut(e.Sampling.String(), "-n"+e.Sampling.n()+"-")
	n, ok := strings.CutPrefix(name, slug(e.Model.Name)+"-"+before+"-n")
	if !ok {
		return false
	}
	n, _, _ = strings.Cut(n, "-judge-")
	if n, ok = strings.CutSuffix(n, "-"+after); !ok {
		return false
	}
	_, err := strconv.Atoi(n)
	return err == nil || n == evaluate.PaperName
}

// file is where a sibling has answers of a cell that the cell can take; "" if
// it has none, or others. What has some of its own takes none of a smaller one:
// they would be in the place of its own.
func (s sibling) file(e *Evaluation, c *Cell, own int) (string, error) {
	set, ok := s.record.Sets[c.Set.Name]
	text, asked := s.record.Templates[c.Template.Title()]
	if !ok || !asked || text != c.Template.Text || set.N > c.N || set.Problems > c.Problems || own > 0 && (set.N < c.N || set.Problems < c.Problems) {
		return "", nil
	}
	if e.sums != nil { // a folder that was put there may have other problems of the name
		if sum, read := e.sums(c.Set.Name, set.Problems); read && sum != set.SHA256 {
			return "", nil
		}
	}
	name, err := generations.NewName(c.Set.Name, e.Sampling.Temperature, e.Sampling.TopP, set.N, e.Sampling.MaxTokens)
	return filepath.Join(s.dir, c.Template.Name, name.File()), err
}

// richest is the sibling's file that has most of a cell's answers, and more than
// its own; "" if there is none.
func (e *Evaluation) richest(all []sibling, c *Cell, own int) (path string, n int, err error) {
	for _, s := range all {
		file, err := s.file(e, c, own)
		if err != nil || file == "" {
			if err != nil {
				return "", 0, err
			}
			continue
		}
		k, err := lines(file)
		if err != nil {
			return "", 0, err
		}
		if k > max(n, own) {
			path, n = file, k
		}
	}
	return path, n, nil
}

// borrow copies the answers that siblings have and this evaluation has fewer of.
func (e *Evaluation) borrow() error {
	all, err := e.siblings()
	if err != nil {
		return err
	}
	for _, c := range e.Cells {
		own, err := lines(c.File)
		if err != nil {
			return err
		}
		from, n, err := e.richest(all, c, own)
		if err != nil {
			return err
		}
		if n == 0 {
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
