package reward

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/justrl/justrl/sampler"
)

var _ sampler.Verifier = Regex{}

// TruthPlace stands for the ground truth in a [Regex]'s pattern.
const TruthPlace = "{truth}"

// Regex accepts what a regular expression of Go (RE2: no backreferences, linear
// time) matches.
//
// Without a Pattern the ground truth is one, and must match the answer, in the
// text's last box or after its last "answer:", from end to end. With a Pattern
// the ground truth, quoted, fills its {truth}, and it is searched for in the
// whole text, as it is written: anchor it. A pattern that does not compile is
// an error. The reward is +1 or -1; Score.Answer is the answer, or of a Pattern
// what its first group has matched, all of it if there is none.
type Regex struct {
	Pattern string
}

// Verify does not block.
func (x Regex) Verify(_ context.Context, text, truth string) (sampler.Score, error) {
	if x.Pattern == "" {
		re, err := regexp.Compile(`^(?:` + truth + `)$`)
		if err != nil {
			return sampler.Score{}, fmt.Errorf("regex: the ground truth %.60q is no pattern: %w", truth, err)
		}
		answer, found := lastAnswer(text)
		return verdict(found && re.MatchString(answer), answer), nil
	}
	re, err := regexp.Compile(strings.ReplaceAll(x.Pattern, TruthPlace, regexp.QuoteMeta(truth)))
	if err != nil {
		return sampler.Score{}, fmt.Errorf("regex: the pattern with the ground truth %.60q: %w", truth, err)
	}
	m := re.FindStringSubmatch(text)
	switch {
	case m == nil:
		return verdict(false, ""), nil
	case len(m) > 1:
		return verdict(true, m[1]), nil
	}
	return verdict(true, m[0]), nil
}
