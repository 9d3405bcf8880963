package reward

import (
	"context"
	"strings"
	"unicode"

	"github.com/justrl/justrl/sampler"
)

var _ sampler.Verifier = Exact{}

// Exact accepts an answer, in the text's last box or after its last "answer:",
// that is the ground truth. Its zero value compares byte for byte. The reward
// is +1 or -1; Score.Answer is the answer as it was written.
type Exact struct {
	IgnoreCase        bool // letters that differ in case alone are the same
	IgnoreSpace       bool // white space at the ends does not count, and a run of it is one space
	IgnorePunctuation bool // Unicode's punctuation does not count (its symbols, like + and $, do)
}

// Verify never fails and does not block.
func (e Exact) Verify(_ context.Context, text, truth string) (sampler.Score, error) {
	answer, found := lastAnswer(text)
	got, want := e.normal(answer), e.normal(truth)
	return verdict(found && (got == want || e.IgnoreCase && strings.EqualFold(got, want)), answer), nil
}

func (e Exact) normal(s string) string {
	if e.IgnorePunctuation {
		s = strings.Map(func(r rune) rune {
			if unicode.IsPunct(r) {
				return -1
			}
			return r
		}, s)
	}
	if e.IgnoreSpace {
		s = strings.Join(strings.Fields(s), " ")
	}
	return s
}
