package sweep

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/generations"
)

// Plan is a sweep in a folder: what is to be done, in the order of doing.
type Plan struct {
	Dir         string
	Spec        *Spec
	Evaluations []*Evaluation
}

// Evaluation is a model under one kind of sampling and one judge, over all sets
// and templates.
type Evaluation struct {
	Name     string // of its folder
	Dir      string
	Model    *Model
	Sampling Sampling
	Judge    *Judge // nil is none
	Cells    []*Cell
	// Lead is the evaluation that samples the answers, where judges share
	// them; nil where this one does.
	Lead *Evaluation
	// Done: eval.json says that all cells are complete and graded.
	Done bool
	sums Sums // may be nil
}

// Cell is a set under a template.
type Cell struct {
	Set         *Set
	Template    evaluate.Template
	N, Problems int
	File        string // of its answers
	There       int    // answers in it, or in a sibling's, when the plan was made
}

// Size is how many answers the cell has when it is complete.
func (c *Cell) Size() int { return c.N * c.Problems }

// cellsDir is the folder of the evaluations' folders.
const cellsDir = "cells"

// NewPlan lays a spec out in a folder, which need not exist, and looks at what
// of it is there. Of other evaluations' answers it counts those to problems that
// sums knows as others not; sums may be nil, where no set was read.
func NewPlan(s *Spec, dir string, sums Sums) (*Plan, error) {
	p := &Plan{Dir: dir, Spec: s}
	for _, folders := range []bool{false, true} { // weights of their own first: they need no load
		for _, m := range s.Models {
			if (m.Folder != "") == folders {
				p.add(m)
			}
		}
	}
	for _, e := range p.Evaluations {
		e.sums = sums
		own := make([]int, len(e.Cells))
		siblings, err := e.siblings()
		if err != nil {
			return nil, err
		}
		for i, c := range e.Cells {
			if own[i], err = lines(c.File); err != nil {
				return nil, err
			}
			_, n, err := e.richest(siblings, c, own[i]) // of which it will have them
			if err != nil {
				return nil, err
			}
			c.There = max(own[i], n)
		}
		if err := e.look(own); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Plan) add(m *Model) {
	for _, sampling := range p.Spec.Sampling {
		var lead *Evaluation
		for _, j := range p.Spec.Judges {
			e := &Evaluation{Name: slug(m.Name) + "-" + sampling.String(), Model: m, Sampling: sampling, Judge: j, Lead: lead}
			if j != nil {
				e.Name += "-judge-" + slug(j.Name)
			}
			e.Dir = filepath.Join(p.Dir, cellsDir, e.Name)
			if lead == nil {
				lead = e
			}
			for _, t := range p.Spec.Templates {
				for _, set := range p.Spec.Sets {
					e.Cells = append(e.Cells, p.cell(e, set, t))
				}
			}
			p.Evaluations = append(p.Evaluations, e)
		}
	}
}

func (p *Plan) cell(e *Evaluation, set *Set, t evaluate.Template) *Cell {
	c := &Cell{Set: set, Template: t, N: e.Sampling.N, Problems: set.Rows}
	if c.N == 0 {
		c.N = set.N
	}
	if p.Spec.Limit > 0 {
		c.Problems = min(c.Problems, p.Spec.Limit)
	}
	name, err := generations.NewName(set.Name, e.Sampling.Temperature, e.Sampling.TopP, c.N, e.Sampling.MaxTokens)
	if err != nil {
		panic("sweep: a name that the spec was read without: " + err.Error())
	}
	c.File = filepath.Join(e.Dir, t.Name, name.File())
	return c
}

// look tells from an evaluation's record whether it is complete; own are the
// answers in the cells' files.
func (e *Evaluation) look(own []int) error {
	r, err := evaluate.ReadRecord(e.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	e.Done = r.Finished != nil
	for i, c := range e.Cells {
		_, known := r.Templates[c.Template.Title()]
		s := r.Sets[c.Set.Name]
		if !known || s.N != c.N || s.Problems != c.Problems || own[i] != c.Size() {
			e.Done = false
		}
	}
	return nil
}

// lines counts those of a file that may not be there. One that has no end is
// not counted: it is cut off when the file is gone on with.
func lines(path string) (n int, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, 1<<20)
	for {
		k, err := f.Read(b)
		n += bytes.Count(b[:k], []byte("\n"))
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// asks tells whether the evaluation needs its servers. One whose answers are all
// there, or are another's, is only graded.
func (e *Evaluation) asks() bool {
	return e.Lead == nil && slices.ContainsFunc(e.Cells, func(c *Cell) bool { return c.There < c.Size() })
}

// Cells is how many there are.
func (p *Plan) Cells() int {
	n := 0
	for _, e := range p.Evaluations {
		n += len(e.Cells)
	}
	return n
}

// Left are the evaluations that are not complete.
func (p *Plan) Left() []*Evaluation {
	return slices.DeleteFunc(slices.Clone(p.Evaluations), func(e *Evaluation) bool { return e.Done })
}
