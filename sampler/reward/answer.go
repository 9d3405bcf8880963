package reward

import (
	"strings"
	"unicode/utf8"

	"github.com/justrl/justrl/sampler"
)

// lastAnswer is what a text gives as its answer: the content of its last
// `\boxed{…}`, or what follows its last "answer:" on that line or, if nothing
// does, on the next line that has something. Of the two the one that begins
// later counts; a last box that is never closed is no answer. Unlike
// [StrictBox] it looks at the whole text.
func lastAnswer(text string) (answer string, found bool) {
	box := strings.LastIndex(text, boxOpen)
	answer, found = lastBox(text)
	if after := afterMark(text); after > box {
		if found && after <= box+len(boxOpen)+len(answer) { // the mark is in the box
			text = answer
			after -= box + len(boxOpen)
		}
		for line := range strings.Lines(text[after:]) {
			if line = strings.Trim(line, " \t\r\n*_"); line != "" {
				return line, true
			}
		}
		return "", false
	}
	return answer, found
}

// afterMark is the place after the colon of the last "answer:", in any case,
// with any emphasis of Markdown before the colon; -1 if there is none.
func afterMark(text string) int {
	const word = "answer"
	for end := len(text); ; {
		colon := strings.LastIndexAny(text[:end], ":：")
		if colon < 0 {
			return -1
		}
		before := strings.TrimRight(text[:colon], " \t*_")
		if n := len(before) - len(word); n >= 0 && strings.EqualFold(before[n:], word) {
			_, size := utf8.DecodeRuneInString(text[colon:])
			return colon + size
		}
		end = len(before)
	}
}

// verdict is the reward of all verifiers that know only right and wrong.
func verdict(correct bool, answer string) sampler.Score {
	if correct {
		return sampler.Score{Reward: 1, Correct: true, Answer: answer}
	}
	return sampler.Score{Reward: -1, Answer: answer}
}
