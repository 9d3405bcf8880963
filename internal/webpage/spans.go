package webpage

import (
	"strings"
	"unicode/utf8"

	"github.com/justrl/justrl/internal/numerals"
)

// Span is a piece of an answer; Boxed is its final result, Left a note about
// what was left out between two others.
type Span struct {
	Text  string
	Boxed bool
	Left  bool
}

// What is shown of a long answer, in bytes: its beginning, and its end, where
// the result is.
const (
	headBytes = 1500
	tailBytes = 1500
)

const boxOpen = `\boxed{`

// Spans cuts an answer into what the page shows of it.
func Spans(text string) []Span {
	start, end := lastBox(text)
	if len(text) <= headBytes+tailBytes+200 {
		return join(piece(text, start, end, 0, len(text)))
	}
	head := atRune(text, headBytes)
	tail := atRune(text, len(text)-tailBytes)
	left := Span{Left: true, Text: numerals.Count(int64(utf8.RuneCountInString(text[head:tail])))}
	return join(piece(text, start, end, 0, head), []Span{left}, piece(text, start, end, tail, len(text)))
}

// piece is text[from:to], with what of the box is in it marked.
func piece(text string, start, end, from, to int) []Span {
	start, end = min(max(start, from), to), min(max(end, from), to)
	return []Span{{Text: text[from:start]}, {Text: text[start:end], Boxed: true}, {Text: text[end:to]}}
}

// join leaves out the empty ones.
func join(lists ...[]Span) []Span {
	var all []Span
	for _, l := range lists {
		for _, s := range l {
			if s.Text != "" {
				all = append(all, s)
			}
		}
	}
	return all
}

// lastBox finds the last \boxed{…} that is closed by its matching brace;
// start = end where the last one is not, or there is none.
func lastBox(s string) (start, end int) {
	start = strings.LastIndex(s, boxOpen)
	if start < 0 {
		return 0, 0
	}
	open := 0
	for i := start; i < len(s); i++ {
		switch s[i] {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return start, i + 1
			}
		}
	}
	return 0, 0
}

// atRune moves i back to the beginning of a character.
func atRune(s string, i int) int {
	for i > 0 && i < len(s) && !utf8.RuneStart(s[i]) {
		i--
	}
	return i
}
