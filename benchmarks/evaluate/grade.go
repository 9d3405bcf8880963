package evaluate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/grade"
	"github.com/justrl/justrl/benchmarks/judge"
	"github.com/justrl/justrl/sampler"
)

// Judge has the second word; [judge.Judge] is one.
type Judge interface {
	Judge(ctx context.Context, question, truth, response string) (string, error)
}

// Grader decides on answers: the rules, then, where they do not accept one,
// the judge. It is safe for concurrent use.
type Grader struct {
	Rule  sampler.Verifier
	Judge Judge // nil has no second word
	// Timeout bounds the rules' time over one answer; 0 is no bound but their own.
	Timeout time.Duration
	// Workers is how many answers the rules look at at once: what waits for a
	// worker must not spend its Timeout on it. 0 is one at a time.
	Workers int
	// Fatal tells which failures of the rules are no answer's and end everything,
	// such as a server that cannot be reached; nil: none.
	Fatal func(error) bool

	once           sync.Once
	free           chan struct{} // a place for each worker
	graded, failed atomic.Int64
}

// A verifier that fails is not an answer's fault: beyond so many failures, and
// such a share, something is wrong with it.
const (
	fewFailures = 20
	maxFailures = 0.05
)

// Grade decides on a generation; sample is its index among its problem's. The
// verdict of a rule that took too long or failed has the reason as its Error,
// unless a judge decides then.
// An error is ctx's cause, the judge's, or that the rules fail too often.
func (g *Grader) Grade(ctx context.Context, question string, gen benchmarks.Generation, sample int) (benchmarks.Verdict, error) {
	v := benchmarks.Verdict{ExampleID: gen.ExampleID, Sample: sample, Seed: gen.Seed, Truth: gen.Answer, By: benchmarks.ByRule}
	score, err := g.rule(ctx, gen)
	if cause := context.Cause(ctx); cause != nil {
		return v, cause
	}
	graded := g.graded.Add(1)
	v.Answer = grade.Kept(score.Answer)
	if err == nil {
		v.Correct = score.Correct
	} else {
		if g.Fatal != nil && g.Fatal(err) {
			return v, err
		}
		v.Error = err.Error()
		if err := g.fails(err, graded); err != nil {
			return v, err
		}
	}
	if v.Correct || g.Judge == nil {
		return v, nil
	}
	v.By = benchmarks.ByJudge
	if v.Judgement, err = g.Judge.Judge(ctx, question, gen.Answer, gen.Response); err != nil {
		return v, err
	}
	v.Correct, v.Error = v.Judgement == judge.Correct, "" // it has a verdict now
	return v, nil
}

// fails counts a failure of the rules, unless it is the answer's own doing.
func (g *Grader) fails(err error, graded int64) error {
	if errors.Is(err, sampler.ErrVerifyTimeout) {
		return nil
	}
	if n := g.failed.Add(1); n > fewFailures && float64(n) > maxFailures*float64(graded) {
		return fmt.Errorf("the verifier failed on %d of %d answers: %w", n, graded, err)
	}
	return nil
}

func (g *Grader) rule(ctx context.Context, gen benchmarks.Generation) (sampler.Score, error) {
	g.once.Do(func() { g.free = make(chan struct{}, max(g.Workers, 1)) })
	select {
	case g.free <- struct{}{}:
		defer func() { <-g.free }()
	case <-ctx.Done():
		return sampler.Score{}, context.Cause(ctx)
	}
	score, _, err := grade.Verify(ctx, g.Rule, g.Timeout, gen.Response, gen.Answer)
	return score, err
}
