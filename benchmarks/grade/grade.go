package grade

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/metrics"
	"github.com/justrl/justrl/sampler"
)

// maxAnswer bounds, in bytes, what a verdict repeats of an answer: a model in a
// loop can box all that it wrote.
const maxAnswer = 4000

// Judge is a second opinion: A for a correct response, B, C or anything else for others.
type Judge interface {
	// Judge blocks until there is a judgement. It is called concurrently.
	Judge(ctx context.Context, question, truth, response string) (judgement string, err error)
}

// Options say who grades, and how many answers at a time.
type Options struct {
	Verifier sampler.Verifier
	Timeout  time.Duration // of one verification; 0 = none
	Workers  int           // verifications at a time; 0 = the number of CPUs
	// Fatal tells which of the verifier's errors end the grading; nil: none does.
	Fatal   func(err error) bool
	Judge   Judge // nil: what the verifier rejects is wrong
	Judging int   // judgements at a time; 0 = 32
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
// be read, the judge fails, or ctx ends.
func File(ctx context.Context, x *generations.Index, o Options) (*Graded, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Judging <= 0 {
		o.Judging = 32
	}
	if o.Question == nil {
		o.Question = func(g benchmarks.Generation) string { return g.Prompt }
	}
	out := &Graded{
		Problems: make([]metrics.Problem, len(x.Problems)),
		Verdicts: make([]benchmarks.Verdict, x.Count),
		Lines:    make([]int, x.Count),
	}
	g, ctx := errgroup.WithContext(ctx)
	f := &file{x: x, o: o, out: out, g: g, ctx: ctx, verifying: make(slots, o.Workers), judging: make(slots, o.Judging)}
	for range min(runtime.GOMAXPROCS(0), len(x.Problems)) {
		g.Go(f.read)
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// file is one that is being graded. Readers take problems, read their answers
// and hand each to a goroutine of its own once a slot is free; the slots bound
// the goroutines, and with them the texts in memory.
type file struct {
	x                  *generations.Index
	o                  Options
	out                *Graded
	g                  *errgroup.Group
	ctx                context.Context //nolint:containedctx // of the one call that file lives in
	next               atomic.Int64
	verifying, judging slots
}

// slots are taken by sending and given back by receiving.
type slots chan struct{}

func (s slots) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s slots) giveBack() { <-s }

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
			if err := f.verifying.take(f.ctx); err != nil {
				return err
			}
			g, err := f.x.Read(p, s)
			if err != nil {
				f.verifying.giveBack()
				return err
			}
			f.g.Go(func() error { return f.grade(g, p.Answer, s, j, &row.Answers[j]) })
			grams.Add(g.Response)
		}
		row.Distinct4 = grams.Share()
	}
}

// grade fills in what becomes of one answer, and gives the verifier's slot back.
func (f *file) grade(g benchmarks.Generation, truth string, s generations.Sample, sample int, to *metrics.Answer) error {
	if f.o.Tokens != nil && g.Tokens == 0 {
		g.Tokens = f.o.Tokens(g.Response)
	}
	v := benchmarks.Verdict{ExampleID: g.ExampleID, Sample: sample, Seed: g.Seed, Truth: truth, By: benchmarks.ByRule}
	timedOut, err := f.verify(g, &v)
	if err != nil || v.Correct || f.o.Judge == nil {
		f.verifying.giveBack()
	} else {
		// Only then is the verifier's slot free: answers must not pile up before a slow judge.
		err = f.judging.take(f.ctx)
		f.verifying.giveBack()
		if err == nil {
			err = f.judge(g, &v)
			f.judging.giveBack()
		}
	}
	if err != nil {
		return err
	}
	*to = metrics.NewAnswer(g, v, timedOut && v.Error != "")
	f.out.Verdicts[s.Ordinal], f.out.Lines[s.Ordinal] = v, s.Number
	if f.o.Done != nil {
		f.o.Done(v)
	}
	return nil
}

// verify asks the verifier; an error is the end of ctx, or one that ends the grading.
func (f *file) verify(g benchmarks.Generation, v *benchmarks.Verdict) (timedOut bool, err error) {
	score, timedOut, err := Verify(f.ctx, f.o.Verifier, f.o.Timeout, g.Response, g.Answer)
	if f.ctx.Err() != nil {
		return false, context.Cause(f.ctx)
	}
	v.Answer = Kept(score.Answer)
	if err != nil && f.o.Fatal != nil && f.o.Fatal(err) {
		return false, err
	}
	if err != nil {
		v.Error = err.Error()
		return timedOut, nil
	}
	v.Correct = score.Correct
	return false, nil
}

func (f *file) judge(g benchmarks.Generation, v *benchmarks.Verdict) error {
	said, err := f.o.Judge.Judge(f.ctx, f.o.Question(g), g.Answer, g.Response)
	if err != nil {
		return fmt.Errorf("judge: %w", err)
	}
	v.By, v.Judgement, v.Correct, v.Error = benchmarks.ByJudge, said, said == "A", ""
	return nil
}

// Kept is what a verdict repeats of an answer: a copy, since a part of the response
// would keep all of it in memory, and its beginning where it is as long as some.
func Kept(answer string) string {
	if len(answer) > maxAnswer {
		return strings.ToValidUTF8(answer[:maxAnswer], "") + "…"
	}
	return strings.Clone(answer)
}

// Verify asks a verifier about one pair, for so long at most (0: without a
// limit), and tells whether it took too long. An error that is the end of ctx
// says nothing about the pair.
func Verify(ctx context.Context, verifier sampler.Verifier, limit time.Duration, response, truth string) (score sampler.Score, timedOut bool, err error) {
	within := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeoutCause(ctx, limit, sampler.ErrVerifyTimeout)
		defer cancel()
	}
	score, err = verifier.Verify(within, response, truth)
	if err == nil {
		return score, false, nil
	}
	if ctx.Err() == nil && within.Err() != nil && !errors.Is(err, sampler.ErrVerifyTimeout) {
		err = fmt.Errorf("%w: %v", sampler.ErrVerifyTimeout, limit)
	}
	return score, errors.Is(err, sampler.ErrVerifyTimeout), err
}
