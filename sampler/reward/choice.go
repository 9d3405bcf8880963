package reward

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/justrl/justrl/sampler"
)

var _ sampler.Verifier = Choice{}

// Choice accepts the letter of the right choice: in the text's last box, or
// after its last "answer:".
//
// B, b, (B), B., [B], **B**, \text{B}, "option B" and "B. what it says" are all
// the letter B; a letter with words behind it and nothing between ("A dog") is
// none, nor are two letters: "A. or B.", "(A) (B)", "A. it may be C". Behind a
// letter the words A and I, small letters without brackets ("B. x = 5") and the
// letter itself are no second one. The ground truth is read in the same way; one that
// is no letter is an error. The reward is +1 or -1; Score.Answer is the letter,
// else what stood there.
type Choice struct{}

// Verify does not block.
func (Choice) Verify(_ context.Context, text, truth string) (sampler.Score, error) {
	want, ok := letter(truth)
	if !ok {
		return sampler.Score{}, fmt.Errorf("choice: the ground truth must be a letter, is %.60q", truth)
	}
	answer, found := lastAnswer(text)
	if got, ok := letter(answer); found && ok {
		return verdict(got == want, got), nil
	}
	return verdict(false, answer), nil
}

var (
	latexText = regexp.MustCompile(`\\(?:text|textbf|textit|textrm|mathrm|mathbf)\s*\{([^{}]*)\}`)
	oneLetter = regexp.MustCompile(`(?s)^(?i:(?:option|choice)\s+)?[(\[{]?\s*([A-Za-z])\s*(?:[)\]}.:]+(\s.*)?)?$`)
	bracketed = regexp.MustCompile(`^[(\[{]([A-Za-z])[)\]}]+[.:]*$`)
	capital   = regexp.MustCompile(`^([A-Z])[)\]}.:!?]*$`)
)

// letter is the choice that s names, in upper case.
func letter(s string) (string, bool) {
	s = latexText.ReplaceAllString(s, "$1")
	m := oneLetter.FindStringSubmatch(strings.Trim(s, " \t\r\n*_`$'\""))
	if m == nil || another(m[1], m[2]) {
		return "", false
	}
	return strings.ToUpper(m[1]), true
}

// another tells whether what stands behind a letter names a second one.
func another(first, rest string) bool {
	words := strings.FieldsFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(",;/&*_`$", r) })
	for i, word := range words {
		m := bracketed.FindStringSubmatch(word)
		if m == nil {
			m = capital.FindStringSubmatch(word)
		}
		last := i == len(words)-1
		switch {
		case m == nil && i > 0 && len(words) == 2 && (strings.EqualFold(words[0], "or") || strings.EqualFold(words[0], "and")): // a. or b.
			m = oneLetter.FindStringSubmatch(word)
		case m != nil && (word == "A" || word == "I") && !last: // the words
			continue
		}
		if m != nil && !strings.EqualFold(m[1], first) {
			return true
		}
	}
	return false
}
