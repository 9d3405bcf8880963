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
// none, nor are two letters: "A. or B.", "(A) (B)". What else stands behind a letter
// is the choice's text. The ground truth is read in the same way; one that
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

// another tells whether what stands behind a letter names a second one: at once,
// or after "or" or "and". Further on a lone letter is part of the choice's text, as
// in "B. Vitamin C".
func another(first, rest string) bool {
	words := strings.FieldsFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(",;/&*_`$", r) })
	if len(words) > 1 && (strings.EqualFold(words[0], "or") || strings.EqualFold(words[0], "and")) {
		words = words[1:]
	} else if len(words) > 1 && (words[0] == "A" || words[0] == "I") { // the words
		return false
	}
	if len(words) == 0 {
		return false
	}
	m := bracketed.FindStringSubmatch(words[0])
	if m == nil {
		m = capital.FindStringSubmatch(words[0])
	}
	if m == nil && len(words) == 1 { // a. or b.
		m = oneLetter.FindStringSubmatch(words[0])
	}
	return m != nil && !strings.EqualFold(m[1], first)
}
