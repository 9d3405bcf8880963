package grade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/sampler"
)

// maxAnswer bounds, in bytes, what a verdict repeats of an answer: a model in a
// loop can box all that it wrote.
const maxAnswer = 4000

// fewErrors is how many errors of a verifier are no reason to end anything.
const fewErrors = 20

// Judge is a second opinion: A for a correct response, B, C or anything else for others.
type Judge interface {
	// Judge blocks until there is a judgement. It is called concurrently.
	Judge(ctx context.Context, question, truth, response string) (judgement string, err error)
}

// Grader decides on answers: a verifier, then, where that does not accept one,
// a judge. It is safe for concurrent use, and not to be copied after the first.
type Grader struct {
	Verifier *Limited
	Judge    Judge // nil: what the verifier rejects is wrong
	// Fatal tells which of the verifier's errors are no answer's and end everything,
	// such as a server that cannot be reached; nil: none does.
	Fatal func(err error) bool
	// MaxErrors is the share of all answers that the verifier may fail on, beyond
	// the first 20: more, and something is wrong with it. 0 is no limit. What takes
	// too long does not count: that is the answer's own doing.
	MaxErrors float64

	graded, failed atomic.Int64
}

// Grade decides on a generation; sample is its index among its problem's, and
// question is what the judge is told. It waits for a place of the verifier, and
// for the judge. An error is ctx's cause, the judge's, a fatal one, or that the
// verifier fails too often; any other of the verifier's is in the verdict,
// unless the judge decides.
func (g *Grader) Grade(ctx context.Context, question string, gen benchmarks.Generation, sample int) (benchmarks.Verdict, error) {
	v := benchmarks.Verdict{ExampleID: gen.ExampleID, Sample: sample, Seed: gen.Seed, Truth: gen.Answer, By: benchmarks.ByRule}
	score, err := g.Verifier.Verify(ctx, gen.Response, gen.Answer)
	if ctx.Err() != nil {
		return v, context.Cause(ctx)
	}
	v.Answer = kept(score.Answer)
	if err := g.count(err); err != nil {
		return v, err
	}
	if err == nil {
		v.Correct = score.Correct
	} else {
		v.Error, v.TimedOut = err.Error(), errors.Is(err, sampler.ErrVerifyTimeout)
	}
	if v.Correct || g.Judge == nil {
		return v, nil
	}
	said, err := g.Judge.Judge(ctx, question, gen.Answer, gen.Response)
	if err != nil {
		return v, err
	}
	v.By, v.Judgement, v.Correct, v.Error, v.TimedOut = benchmarks.ByJudge, said, said == "A", "", false
	return v, nil
}

// count counts an answer and what the verifier ended with; an error ends everything.
func (g *Grader) count(err error) error {
	graded := g.graded.Add(1)
	switch {
	case err == nil:
		return nil
	case g.Fatal != nil && g.Fatal(err):
		return err
	case errors.Is(err, sampler.ErrVerifyTimeout):
		return nil
	}
	if n := g.failed.Add(1); g.MaxErrors > 0 && n > fewErrors && float64(n) > g.MaxErrors*float64(graded) {
		return fmt.Errorf("the verifier failed on %d of %d answers: %w", n, graded, err)
	}
	return nil
}

// kept is what a verdict repeats of an answer: a copy, since a part of the response
// would keep all of it in memory, and its beginning where it is as long as some.
func kept(answer string) string {
	if len(answer) > maxAnswer {
		return strings.ToValidUTF8(answer[:maxAnswer], "") + "…"
	}
	return strings.Clone(answer)
}
