package dataset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxChoices is the number of letters.
const maxChoices = 26

// texts are a row's choices: empty ones at the end are none.
func (m *mapping) texts(get values) (choices []string, err error) {
	for _, p := range m.choices {
		v, err := get(p)
		if err != nil {
			return nil, err
		}
		for _, text := range v {
			if text == nil {
				choices = append(choices, "")
				continue
			}
			choices = append(choices, strings.TrimSpace(*text))
		}
	}
	for len(choices) > 0 && choices[len(choices)-1] == "" {
		choices = choices[:len(choices)-1]
	}
	if i := slices.Index(choices, ""); i >= 0 {
		return nil, fmt.Errorf("choice %d of %d is empty", i+1, len(choices))
	}
	if len(choices) < 2 || len(choices) > maxChoices {
		return nil, fmt.Errorf("has %d choices, want 2 to %d", len(choices), maxChoices)
	}
	return choices, nil
}

// letter is that of the choice that a row's answer names.
func (m *mapping) letter(answer string, choices []string) (string, error) {
	i, what := -1, m.answerIs
	answer = strings.TrimSpace(answer)
	switch what {
	case AnswerIsIndex, AnswerIsNumber:
		n, err := strconv.Atoi(answer)
		if err != nil {
			break
		}
		if i = n; what == AnswerIsNumber {
			i--
		}
	case AnswerIsText:
		if i = slices.Index(choices, answer); i >= 0 && slices.Contains(choices[i+1:], answer) {
			return "", fmt.Errorf("the answer %.40q is the text of two choices", answer)
		}
	default:
		what = AnswerIsLetter
		if len(answer) == 1 {
			i = int(strings.ToUpper(answer)[0]) - 'A'
		}
	}
	if i < 0 || i >= len(choices) {
		return "", fmt.Errorf("the answer %.40q is the %s of none of the %d choices", answer, what, len(choices))
	}
	return string(rune('A' + i)), nil
}

// lettered writes choices as lines, "A. first" and so on.
func lettered(choices []string) string {
	var b strings.Builder
	for i, text := range choices {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%c. %s", 'A'+i, text)
	}
	return b.String()
}
