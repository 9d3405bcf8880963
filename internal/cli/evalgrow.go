package cli

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/generations"
)

// file is where a cell's answers are.
func (m measurement) file(c *evaluate.Cell) (string, error) {
	s := m.sampling
	name, err := generations.NewName(c.Set, s.Temperature, s.TopP, c.N, s.MaxTokens)
	return filepath.Join(m.out, c.Template.Name, name.File()), err
}

// gather has the cells begin with what there is of an evaluation that had more or
// fewer answers. Files that are there stay, until there are results of the new
// ones, and one that belongs to something else is an error before anything is
// written. before is the folder's record.
func (m measurement) gather(before evaluate.Record) error {
	for _, c := range m.cells {
		path, err := m.file(c)
		if err != nil {
			return usage(err)
		}
		was, recorded := before.Sets[c.Set]
		if recorded && was.N == c.N && was.Problems <= len(c.Problems) {
			continue // what is there was checked; Run does so again
		}
		more, err := m.check(c, path, recorded)
		if err != nil {
			return err
		}
		if more { // than the problems that are wanted now
			if err := generations.PutAside(path); err != nil {
				return err
			}
		}
		take, err := c.Taker(m.sampling.Seed)
		if err != nil {
			return err
		}
		err = generations.Gather(path, func(from generations.Relative, g benchmarks.Generation) (bool, error) {
			err := take(g)
			if other := (*evaluate.NotOursError)(nil); errors.As(err, &other) && (other.Twice || recorded || from.Aside || from.N > c.N) {
				return false, nil
			}
			return err == nil, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// check reads a cell's file. It tells whether it has answers that the cell has no
// place for, which is an error unless it is recorded to be of this evaluation.
func (m measurement) check(c *evaluate.Cell, path string, recorded bool) (more bool, err error) {
	take, err := c.Taker(m.sampling.Seed)
	if err != nil {
		return false, err
	}
	return more, generations.Each(path, func(_ generations.Line, g benchmarks.Generation) error {
		err := take(g)
		if other := (*evaluate.NotOursError)(nil); recorded && errors.As(err, &other) && !other.Twice {
			more = true
			return nil
		}
		return err
	})
}

// tidy removes files with fewer answers a problem, where all of them are in the
// cells' own, which are complete.
func (m measurement) tidy() error {
	for _, c := range m.cells {
		path, err := m.file(c)
		if err != nil {
			return err
		}
		all, err := generations.Relatives(path)
		if err != nil {
			return err
		}
		for _, old := range all {
			if old.N >= c.N || old.Aside {
				continue
			}
			if same, err := within(old.Path, path); err != nil || !same {
				continue // it has something of its own, or cannot be read
			}
			if err := generations.Remove(old.Path); err != nil {
				return err
			}
		}
	}
	return nil
}

// within tells whether every answer of a file is in another.
func within(path, other string) (bool, error) {
	there := map[[sha256.Size]byte]bool{}
	sum := func(g benchmarks.Generation) [sha256.Size]byte {
		return sha256.Sum256(fmt.Appendf(nil, "%d %d %q %q", g.ExampleID, g.Seed, g.Prompt, g.Response))
	}
	err := generations.Each(other, func(_ generations.Line, g benchmarks.Generation) error {
		there[sum(g)] = true
		return nil
	})
	all := true
	err = errors.Join(err, generations.Each(path, func(_ generations.Line, g benchmarks.Generation) error {
		all = all && there[sum(g)]
		return nil
	}))
	return all, err
}
