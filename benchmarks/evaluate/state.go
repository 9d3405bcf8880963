package evaluate

import (
	"fmt"
	"sync"

	"github.com/justrl/justrl/benchmarks"
)

// state is a cell under way: what there is of it.
type state struct {
	cell     *Cell
	seeds    []int64
	prompts  []string    // by problem
	index    map[int]int // of a problem, by its id
	repeat   map[int64]int
	store    Store
	verdicts []benchmarks.Verdict // N a problem

	mu    sync.Mutex
	there []bool // problem × repeat
	count []int  // generations of a problem in the store
}

func newState(c *Cell, seeds []int64, graded bool) (*state, error) {
	s := &state{
		cell: c, seeds: seeds, index: map[int]int{}, repeat: map[int64]int{},
		there: make([]bool, c.Size()), count: make([]int, len(c.Problems)),
	}
	if graded {
		s.verdicts = make([]benchmarks.Verdict, c.Size())
	}
	for j, seed := range seeds {
		s.repeat[seed] = j
	}
	for i, p := range c.Problems {
		prompt, err := c.Template.message(p)
		if err != nil {
			return nil, fmt.Errorf("prompt of %s, problem %d: %w", c.Set, p.ID, err)
		}
		if _, twice := s.index[p.ID]; twice {
			return nil, fmt.Errorf("%s has two problems %d", c.Set, p.ID)
		}
		s.prompts, s.index[p.ID] = append(s.prompts, prompt), i
	}
	return s, nil
}

func (s *state) has(problem, repeat int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.there[problem*s.cell.N+repeat]
}

// NotOursError is a generation that a cell has no place for.
type NotOursError struct {
	Twice bool // it has one in that place; otherwise the problem or the seed is none of the cell's
	words string
}

func (e *NotOursError) Error() string { return e.words }

// Taker gives a function that tells whether the cell, of an evaluation of a seed,
// can take a generation: it is nil for each that has a place of its own, a
// [*NotOursError] where there is none, and another error for one that answers
// something else. It is not safe for concurrent use.
func (c *Cell) Taker(seed int64) (func(g benchmarks.Generation) error, error) {
	s, err := newState(c, Seeds(seed, c.Set, c.N), false)
	return func(g benchmarks.Generation) error {
		_, err := s.take(g)
		return err
	}, err
}

// take enters a generation that the store has, and gives its index among its problem's.
func (s *state) take(g benchmarks.Generation) (sample int, err error) {
	i, ok := s.index[g.ExampleID]
	if !ok {
		return 0, &NotOursError{words: fmt.Sprintf("%s has no problem %d: was this sampled with another --limit or another set?", s.cell.Set, g.ExampleID)}
	}
	j, ok := s.repeat[g.Seed]
	if !ok {
		return 0, &NotOursError{words: fmt.Sprintf("seed %d is none of this evaluation's: was this sampled with another --seed?", g.Seed)}
	}
	switch {
	case g.Prompt != s.prompts[i]:
		return 0, fmt.Errorf("problem %d has another prompt than now", g.ExampleID)
	case g.Answer != s.cell.Problems[i].Answer:
		return 0, fmt.Errorf("problem %d has another answer than now", g.ExampleID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.there[i*s.cell.N+j] {
		return 0, &NotOursError{true, fmt.Sprintf("problem %d has two answers of seed %d", g.ExampleID, g.Seed)}
	}
	return s.enter(i, j), nil
}

// enter counts a generation; the lock is held.
func (s *state) enter(problem, repeat int) (sample int) {
	s.there[problem*s.cell.N+repeat] = true
	s.count[problem]++
	return s.count[problem] - 1
}

// add stores a new generation. The lock is held over it, so that a problem's
// generations are numbered as the store has them.
func (s *state) add(g benchmarks.Generation) (sample int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.store.Add(g); err != nil {
		return 0, err
	}
	return s.enter(s.index[g.ExampleID], s.repeat[g.Seed]), nil
}
