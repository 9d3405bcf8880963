package rule

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/justrl/justrl/sampler"
)

// Algebra answers with Python what Go cannot be sure of. Implementations are safe
// for concurrent use. Both methods block until there is an answer, ctx is cancelled
// or a limit of time has passed: sampler.ErrVerifyTimeout is in the error's chain then.
type Algebra interface {
	// Normalize is _normalize of the definition.
	Normalize(ctx context.Context, expr string) (string, error)
	// Equal is are_equal_under_sympy of the definition, of two normalised elements;
	// whatever the definition catches is false, not an error.
	Equal(ctx context.Context, truth, given string) (bool, error)
}

// ErrNoAlgebra is in the chain of the error for a pair that needs an [Algebra]
// where there is none.
var ErrNoAlgebra = errors.New("this answer can only be compared by sympy, and there is no Python")

// How tells at which step a verdict was found.
type How string

// The steps, in the order in which they are tried.
const (
	NoTruth    How = "no-truth"   // the ground truth is empty, or its box is: not correct
	NoBox      How = "no-box"     // the response has no box that closes: not correct
	Mathd      How = "mathd"      // equal in the first normal form: correct
	Normalised How = "normalised" // equal in the second: correct
	Shape      How = "shape"      // an empty answer, or other brackets or another number of elements: not correct
	Fraction   How = "fraction"   // elements that are fractions or integers and not alike: not correct
	Refused    How = "refused"    // an element that the definition does not hand to sympy: not correct
	Decided    How = "decided"    // elements of which Go knows what sympy says
	Sympy      How = "sympy"      // sympy was asked
)

// Verdict is what the rules say of one response.
type Verdict struct {
	Correct bool
	Found   bool   // whether the response has a box that closes
	Answer  string // what stands in it; "" if not Found
	How     How
	// Asked counts the questions to the Algebra: normal forms and comparisons.
	Asked int
}

var _ sampler.Verifier = (*Grader)(nil)

// Grader gives the verdicts. Its zero value works without Python, and fails on the
// pairs that need it. It is safe for concurrent use if its Algebra is.
type Grader struct {
	// Algebra is asked what Go cannot decide; nil if there is none. Whoever made it closes it.
	Algebra Algebra
}

// Verify implements [sampler.Verifier]: +1 for a correct answer, else -1.
func (g *Grader) Verify(ctx context.Context, text, truth string) (sampler.Score, error) {
	v, err := g.Grade(ctx, text, truth)
	if err != nil {
		return sampler.Score{}, err
	}
	if v.Correct {
		return sampler.Score{Reward: 1, Correct: true, Answer: v.Answer}, nil
	}
	return sampler.Score{Reward: -1, Answer: v.Answer}, nil
}

// Grade tells whether a response has the answer truth, and how that was found. An
// error is the Algebra's, or [ErrNoAlgebra]; the Verdict then has Found and Answer.
func (g *Grader) Grade(ctx context.Context, response, truth string) (Verdict, error) {
	given, found := extract(response)
	given = strings.ToValidUTF8(given, "\ufffd")
	v := Verdict{Found: found, Answer: given}
	truthFound := truth != ""
	if strings.Contains(truth, `\boxed`) {
		truth, truthFound = extract(truth)
	}
	truth = strings.ToValidUTF8(truth, "\ufffd")
	switch {
	case !truthFound:
		v.How = NoTruth
		return v, nil
	case !found:
		v.How = NoBox
		return v, nil
	case mathd(given) == mathd(truth):
		v.How, v.Correct = Mathd, true
		return v, nil
	}
	truth, err := g.normalize(ctx, &v, truth)
	if err != nil {
		return v, err
	}
	if given, err = g.normalize(ctx, &v, given); err != nil {
		return v, err
	}
	if given == truth {
		v.How, v.Correct = Normalised, true
		return v, nil
	}
	v.Correct, v.How, err = g.compare(ctx, &v, truth, given)
	return v, err
}

// compare looks at two different texts in the second normal form. The step it
// tells is that of the first element that is not alike, or of the one that was
// hardest to compare.
func (g *Grader) compare(ctx context.Context, v *Verdict, truth, given string) (bool, How, error) {
	truths, givens := splitTuple(truth), splitTuple(given)
	if len(truths) != len(givens) || len(truths) == 0 ||
		len(truths) > 1 && (truth[0] != given[0] || truth[len(truth)-1] != given[len(given)-1]) {
		return false, Shape, nil
	}
	hardest := Decided
	for i := range truths {
		same, how, err := g.element(ctx, v, truths[i], givens[i])
		if err != nil || !same {
			return false, how, err
		}
		if how == Sympy {
			hardest = Sympy
		}
	}
	return true, hardest, nil
}

// element compares two elements, which may be the same text.
func (g *Grader) element(ctx context.Context, v *Verdict, truth, given string) (bool, How, error) {
	switch {
	case isFraction(truth) && isFraction(given):
		return truth == given, Fraction, nil
	case isInt(truth) != isInt(given):
		return false, Fraction, nil
	case !allowed(truth, given):
		return false, Refused, nil
	}
	if equal, sure := decide(truth, given); sure {
		return equal, Decided, nil
	}
	if g.Algebra == nil {
		return false, "", fmt.Errorf("compare %.80q with %.80q: %w", truth, given, ErrNoAlgebra)
	}
	v.Asked++
	equal, err := g.Algebra.Equal(ctx, truth, given)
	if err != nil {
		return false, "", fmt.Errorf("compare %.80q with %.80q: %w", truth, given, err)
	}
	return equal, Sympy, nil
}

// normalize is the second normal form of one side.
func (g *Grader) normalize(ctx context.Context, v *Verdict, expr string) (string, error) {
	s, err := normalize(expr)
	if !errors.Is(err, errUnsure) {
		return s, err
	}
	if g.Algebra == nil {
		return "", fmt.Errorf("normalise %.80q: %w", expr, ErrNoAlgebra)
	}
	v.Asked++
	if s, err = g.Algebra.Normalize(ctx, expr); err != nil {
		return "", fmt.Errorf("normalise %.80q: %w", expr, err)
	}
	return s, nil
}
