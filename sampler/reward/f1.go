package reward

import (
	"context"
	"strings"
	"unicode"

	"github.com/justrl/justrl/sampler"
)

var _ sampler.Verifier = F1{}

// F1 scores an answer, in the text's last box or after its last "answer:", by
// the words that it shares with the ground truth, as SQuAD's evaluation does:
// lower case, ASCII punctuation and the articles a, an and the left out, words
// as often as they come. The reward is the harmonic mean of precision and
// recall, from 0 to 1. Where one of the two has no words left it is 1 if
// neither has, else 0; no answer is worth 0. Correct is a reward of Threshold
// or more. Score.Answer is the answer as it was written.
type F1 struct {
	Threshold float64 // in (0, 1]; 1 is all words and no others, in any order
}

// Verify never fails and does not block.
func (f F1) Verify(_ context.Context, text, truth string) (sampler.Score, error) {
	answer, found := lastAnswer(text)
	if !found {
		return sampler.Score{}, nil
	}
	score := tokenF1(squadWords(answer), squadWords(truth))
	return sampler.Score{Reward: score, Correct: score >= f.Threshold, Answer: answer}, nil
}

func tokenF1(got, want []string) float64 {
	if len(got) == 0 || len(want) == 0 {
		if len(got) == len(want) {
			return 1
		}
		return 0
	}
	left := map[string]int{}
	for _, w := range want {
		left[w]++
	}
	same := 0
	for _, w := range got {
		if left[w] > 0 {
			left[w]--
			same++
		}
	}
	// 2PR / (P+R) of P = same/got and R = same/want.
	return 2 * float64(same) / float64(len(got)+len(want))
}

// squadWords normalises and splits. An article is a word between what is no
// letter, digit or underscore, which need not be a space ("the—end").
func squadWords(s string) []string {
	s = strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsPunct(r) || unicode.IsSymbol(r)) {
			return -1
		}
		return r
	}, strings.ToLower(s))
	var b strings.Builder
	for s != "" {
		end := strings.IndexFunc(s, func(r rune) bool { return !wordRune(r) })
		if end < 0 {
			end = len(s)
		}
		switch word := s[:end]; word {
		case "a", "an", "the":
			b.WriteByte(' ')
		default:
			b.WriteString(word)
		}
		s = s[end:]
		next := strings.IndexFunc(s, wordRune)
		if next < 0 {
			next = len(s)
		}
		b.WriteString(s[:next])
		s = s[next:]
	}
	return strings.FieldsFunc(b.String(), func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || r == '_' }
