package grade

import (
	"context"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/metrics"
)

// Options say who grades, and how many answers at a time.
type Options struct {
	Grader *Grader
	// AtOnce bounds the answers that are being graded, by the verifier, by the
	// judge or waiting for either, and with them the texts in memory; at least 1.
	AtOnce int
	// Question is what a judge is told was asked; nil: all of the prompt.
	Question func(g benchmarks.Generation) string
	// Tokens counts those of a response whose file does not say; nil: nobody does.
	Tokens func(response string) int
	// Done is called with each verdict, concurrently; may be nil.
	Done func(v benchmarks.Verdict)
}

// Graded is a file's verdicts.
type Graded struct {
	Problems []metrics.Problem    // in the order of their ids
	Verdicts []benchmarks.Verdict // in file order
	Lines    []int                // of the verdicts, from 1
}

// File grades a file. It blocks until all answers have a verdict, a line cannot
// be read, the grader ends it, or ctx ends.
func File(ctx context.Context, x *generations.Index, o Options) (*Graded, error) {
	if o.Question == nil {
		o.Question = func(g benchmarks.Generation) string { return g.Prompt }
	}
	out := &Graded{
		Problems: make([]metrics.Problem, len(x.Problems)),
		Verdicts: make([]benchmarks.Verdict, x.Count),
		Lines:    make([]int, x.Count),
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f := &file{x: x, o: o, out: out, ctx: ctx, cancel: cancel}
	f.grades.SetLimit(max(o.AtOnce, 1))
	var readers errgroup.Group
	for range min(runtime.GOMAXPROCS(0), len(x.Problems)) {
		readers.Go(func() error { return f.failing(f.read()) })
	}
	_ = readers.Wait() // its error is the context's cause
	_ = f.grades.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

// file is one that is being graded. Readers take problems, read their answers
// and hand each to a goroutine of its own as soon as there may be one more.
type file struct {
	x      *generations.Index
	o      Options
	out    *Graded
	ctx    context.Context //nolint:containedctx // of the one call that file lives in
	cancel context.CancelCauseFunc
	grades errgroup.Group
	next   atomic.Int64
}

// failing ends everything at the first error.
func (f *file) failing(err error) error {
	if err != nil {
		f.cancel(err)
	}
	return err
}

func (f *file) read() error {
	var grams metrics.Distinct
	for {
		i := int(f.next.Add(1)) - 1
		if i >= len(f.x.Problems) {
			return nil
		}
		p := f.x.Problems[i]
		row := &f.out.Problems[i]
		*row = metrics.Problem{ID: p.ID, Answers: make([]metrics.Answer, len(p.Samples))}
		grams.Reset()
		for j, s := range p.Samples {
			if err := context.Cause(f.ctx); err != nil {
				return err
			}
			g, err := f.x.Read(p, s)
			if err != nil {
				return err
			}
			g.Answer = p.Answer // one text for all verdicts
			f.grades.Go(func() error { return f.failing(f.grade(g, s, j, &row.Answers[j])) })
			grams.Add(g.Response)
		}
		row.Distinct4 = grams.Share()
	}
}

// grade fills in what becomes of one answer.
func (f *file) grade(g benchmarks.Generation, s generations.Sample, sample int, to *metrics.Answer) error {
	if f.o.Tokens != nil && g.Tokens == 0 {
		g.Tokens = f.o.Tokens(g.Response)
	}
	v, err := f.o.Grader.Grade(f.ctx, f.o.Question(g), g, sample)
	if err != nil {
		return err
	}
	*to = metrics.NewAnswer(g, v)
	f.out.Verdicts[s.Ordinal], f.out.Lines[s.Ordinal] = v, s.Number
	if f.o.Done != nil {
		f.o.Done(v)
	}
	return nil
}
