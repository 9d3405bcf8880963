package report

import (
	"unicode/utf8"

	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/internal/webpage"
)

// What is shown of a response, in bytes: its end, where the answer is, and
// folded up what is before that: all of it, or where that is long its beginning
// and its own end.
const (
	endBytes    = 900
	beforeBytes = 5000
	headBytes   = 2500
	nearBytes   = 1500
)

// excerpt is a response as a page shows it.
type excerpt struct {
	End    []webpage.Span
	Before []webpage.Span // nil for a short one
	Size   string         // characters of the whole
}

func newExcerpt(response string) excerpt {
	e := excerpt{Size: numerals.CountOf(utf8.RuneCountInString(response), "character")}
	if len(response) <= endBytes+endBytes/2 { // not worth a fold
		e.End = webpage.Spans(shown(response))
		return e
	}
	at := boundary(response, len(response)-endBytes)
	e.End = webpage.Spans(shown(response[at:]))
	before := response[:at]
	if len(before) <= beforeBytes {
		e.Before = []webpage.Span{{Text: shown(before)}}
		return e
	}
	head, near := boundary(before, headBytes), boundary(before, len(before)-nearBytes)
	e.Before = []webpage.Span{
		{Text: shown(before[:head])},
		{Left: true, Text: numerals.Count(int64(utf8.RuneCountInString(before[head:near])))},
		{Text: shown(before[near:])},
	}
	return e
}

// boundary moves i back to the beginning of a character, though not far: what
// is no UTF-8 has none.
func boundary(s string, i int) int {
	for j := i; j > 0 && j > i-utf8.UTFMax; j-- {
		if utf8.RuneStart(s[j]) {
			return j
		}
	}
	return i
}
