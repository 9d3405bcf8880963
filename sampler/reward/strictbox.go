// Package reward holds the verifiers, which turn a rollout's text and a ground
// truth into a reward, and what other recipes add to that.
//
// [StrictBox] is the one that JustRL trains with. It normalises nothing, on
// purpose: the paper found that a more forgiving verifier makes training worse.
// [Overlong] is DAPO's penalty on long answers, for baselines. The others are for
// data beyond mathematics: [Choice], [Exact], [Numeric], [F1], [Regex], and a
// program or a server of the user's own, [Command] and [HTTP]. Nothing here makes
// a wrong answer of a verifier's failure.
package reward

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/justrl/justrl/sampler"
)

var _ sampler.Verifier = StrictBox{}

// StrictBox accepts a text whose last boxed answer is the ground truth,
// character for character.
//
// It looks at the last 300 and of those at the last 100 Unicode code points (a
// byte that is not valid UTF-8 counts as one), finds the last `\boxed{` that
// begins there, and takes what stands up to its matching brace as the answer.
// A backslash does not escape a brace, and a box that is not closed is no
// answer, even if an earlier one is. The reward is +1 if the answer equals the
// ground truth byte for byte, spaces included, else -1; Score.Answer is the
// answer, "" if there is none. A truth longer than the window is unreachable.
type StrictBox struct{}

const (
	tailChars = 300 // what the paper's reward function hands on
	boxChars  = 100 // what its strict check looks at
	boxOpen   = `\boxed{`
)

// Verify never fails and does not block.
func (StrictBox) Verify(_ context.Context, text, truth string) (sampler.Score, error) {
	answer, found := lastBox(lastChars(lastChars(text, tailChars), boxChars))
	if found && answer == truth {
		return sampler.Score{Reward: 1, Correct: true, Answer: answer}, nil
	}
	return sampler.Score{Reward: -1, Correct: false, Answer: answer}, nil
}

// lastChars is the end of s, n code points long or all of s.
func lastChars(s string, n int) string {
	end := len(s)
	for ; n > 0 && end > 0; n-- {
		_, size := utf8.DecodeLastRuneInString(s[:end])
		end -= size
	}
	return s[end:]
}

// lastBox is the content of the last box of s; not found if there is none or
// the last one is never closed.
func lastBox(s string) (answer string, found bool) {
	start := strings.LastIndex(s, boxOpen)
	if start < 0 {
		return "", false
	}
	s = s[start+len(boxOpen):]
	open := 1
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return s[:i], true
			}
		}
	}
	return "", false
}
