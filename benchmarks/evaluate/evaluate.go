package evaluate

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/grade"
	"github.com/justrl/justrl/sampler/openai"
)

// Sampling is how answers are sampled. Every field is sent.
type Sampling struct {
	Temperature float64 `json:"temperature"`
	TopP        float64 `json:"top_p"`
	MaxTokens   int     `json:"max_tokens"`
	Seed        int64   `json:"seed"` // that the repeats' seeds are made of; any
}

// Store keeps a cell's generations. Add is called concurrently; when it has
// returned nil, the generation outlives the process.
type Store interface {
	Add(g benchmarks.Generation) error
	Close() error
}

// Cell is one set under one prompt template.
type Cell struct {
	Set      string
	Template Template
	Problems []benchmarks.Problem
	N        int // answers a problem
	// Open opens the cell's store, after it has called known with every
	// generation that it has already. It is called once.
	Open func(known func(g benchmarks.Generation) error) (Store, error)
}

// Size is how many answers the cell has when it is complete.
func (c *Cell) Size() int { return len(c.Problems) * c.N }

// Asker has an answer from a server; [Fleet] is one.
type Asker interface {
	Ask(ctx context.Context, r openai.ChatRequest) (openai.Answer, error)
}

// Evaluation is what is to be sampled, and by what it is graded.
type Evaluation struct {
	Asker    Asker
	Grader   *grade.Grader // nil grades nothing: there are no verdicts then
	Cells    []*Cell
	Sampling Sampling
	// Concurrency bounds the requests under way, and Grading the answers that
	// are being graded: answers wait for the grader before more are asked for.
	Concurrency, Grading int
	// OnKnown is told how many answers of a cell were there already, OnAnswer
	// of each new one, OnVerdict of each verdict, old answers' included. All
	// may be nil; the last two are called concurrently.
	OnKnown   func(c *Cell, answers int)
	OnAnswer  func(c *Cell, g benchmarks.Generation)
	OnVerdict func(c *Cell, v benchmarks.Verdict)
}

// Result is a cell's outcome.
type Result struct {
	Cell *Cell
	// Verdicts are in the order of the problems, and within one in that of the
	// generations in the store; empty without a Grader.
	Verdicts []benchmarks.Verdict
}

// Run samples what is missing and grades all; it returns the results in the
// order of the cells. It blocks until everything it has begun has ended. After
// an error (a server's, a store's, the judge's, or ctx's cause) there are no
// results, but every complete answer is in its store.
func (e *Evaluation) Run(ctx context.Context) (results []Result, err error) {
	if e.Concurrency < 1 || e.Grading < 1 {
		return nil, errors.New("evaluate: concurrency and grading must be at least 1")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{Evaluation: e, ctx: ctx, cancel: cancel}
	r.asks.SetLimit(e.Concurrency)
	r.grades.SetLimit(e.Grading)
	defer func() {
		err = errors.Join(err, r.close())
		if err != nil {
			results = nil
		}
	}()
	for _, c := range e.Cells {
		if err := r.open(c); err != nil {
			cancel(err)
			break
		}
	}
	r.sample()
	_ = r.asks.Wait() // its error is the context's cause
	_ = r.grades.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	for _, s := range r.states {
		results = append(results, Result{s.cell, s.verdicts})
	}
	return results, nil
}

// run is an Evaluation under way.
type run struct {
	*Evaluation
	ctx    context.Context
	cancel context.CancelCauseFunc
	asks   errgroup.Group
	grades errgroup.Group
	states []*state
}

// open opens a cell's store and grades what it has.
func (r *run) open(c *Cell) error {
	s, err := newState(c, Seeds(r.Sampling.Seed, c.Set, c.N), r.Grader != nil)
	if err != nil {
		return err
	}
	known := 0
	s.store, err = c.Open(func(g benchmarks.Generation) error {
		sample, err := s.take(g)
		if err != nil {
			return err
		}
		known++
		r.grade(s, g, sample)
		return context.Cause(r.ctx)
	})
	if err != nil {
		return err
	}
	r.states = append(r.states, s)
	if r.OnKnown != nil {
		r.OnKnown(c, known)
	}
	return nil
}

// sample asks for all that is missing, in the authors' order: cell by cell, of
// each one repeat after the other.
func (r *run) sample() {
	for _, s := range r.states {
		for j := range s.seeds {
			for i := range s.prompts {
				if r.ctx.Err() != nil {
					return
				}
				if s.has(i, j) {
					continue
				}
				r.asks.Go(func() error { return r.failing(r.one(s, i, j)) })
			}
		}
	}
}

// failing ends everything at the first error.
func (r *run) failing(err error) error {
	if err != nil {
		r.cancel(err)
	}
	return err
}

// one asks for one answer, stores it and hands it on to be graded.
func (r *run) one(s *state, problem, repeat int) error {
	if err := context.Cause(r.ctx); err != nil {
		return err
	}
	a, err := r.Asker.Ask(r.ctx, openai.ChatRequest{
		Messages: []openai.Message{{Role: "user", Content: s.prompts[problem]}},
		N:        1, Temperature: r.Sampling.Temperature, TopP: r.Sampling.TopP, MaxTokens: r.Sampling.MaxTokens, Seed: s.seeds[repeat],
		Extensions: openai.Neutral(),
	})
	if err != nil {
		return fmt.Errorf("%s: problem %d, seed %d: %w", s.cell.Set, s.cell.Problems[problem].ID, s.seeds[repeat], err)
	}
	g := benchmarks.Generation{
		ExampleID: s.cell.Problems[problem].ID, Prompt: s.prompts[problem], Answer: s.cell.Problems[problem].Answer,
		Seed: s.seeds[repeat], Response: a.Text, FinishReason: a.FinishReason, Tokens: a.Tokens,
	}
	sample, err := s.add(g)
	if err != nil {
		return err
	}
	if r.OnAnswer != nil {
		r.OnAnswer(s.cell, g)
	}
	r.grade(s, g, sample)
	return nil
}

// grade has a generation graded; it waits for a place.
func (r *run) grade(s *state, g benchmarks.Generation, sample int) {
	if r.Grader == nil {
		return
	}
	r.grades.Go(func() error {
		if err := context.Cause(r.ctx); err != nil {
			return err
		}
		at := s.index[g.ExampleID]
		v, err := r.Grader.Grade(r.ctx, s.cell.Problems[at].Question, g, sample)
		if err != nil {
			return r.failing(fmt.Errorf("grade %s, problem %d, seed %d: %w", s.cell.Set, g.ExampleID, g.Seed, err))
		}
		s.verdicts[at*s.cell.N+sample] = v // nobody else's place
		if r.OnVerdict != nil {
			r.OnVerdict(s.cell, v)
		}
		return nil
	})
}

func (r *run) close() error {
	var err error
	for _, s := range r.states {
		err = errors.Join(err, s.store.Close())
	}
	return err
}
