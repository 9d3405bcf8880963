package localserver

import (
	"strings"
	"unicode/utf8"
)

// writer turns one sample's tokens into text as they come, and looks for stop
// strings in it, as vLLM does: bytes that are no whole character yet are held
// back, and never told if nothing completes them.
type writer struct {
	tok         Tokenizer
	skipSpecial bool
	stops       []string
	include     bool // stop strings stay in the text
	minTokens   int
	hold        int // characters held back in a stream: a stop string may begin with them

	tokens  int     // so far
	pending []int32 // tokens whose text is not complete
	text    []byte
	told    int // bytes of text that delta has given
	stop    *string
}

// maxPending bounds the tokens that are held back: no character has as many.
const maxPending = 64

func newWriter(tok Tokenizer, p params) *writer {
	w := &writer{tok: tok, skipSpecial: p.skipSpecial, stops: p.stop, include: p.includeStop, minTokens: int(p.minTokens)}
	if !w.include {
		for _, s := range w.stops {
			w.hold = max(w.hold, utf8.RuneCountInString(s)-1)
		}
	}
	return w
}

// add takes the next token; ends tells that it is one that ends the sample,
// which is no part of the text. The result is whether a stop string is complete.
func (w *writer) add(id int32, ends bool) bool {
	w.tokens++
	if ends && !w.include {
		return false
	}
	w.pending = append(w.pending, id)
	piece := w.tok.Decode(w.pending, w.skipSpecial)
	if strings.HasSuffix(piece, "\uFFFD") && len(w.pending) < maxPending {
		return false
	}
	w.pending = w.pending[:0]
	before := len(w.text)
	w.text = append(w.text, piece...)
	if len(piece) == 0 || w.tokens <= w.minTokens {
		return false
	}
	return w.find(before)
}

// find looks for the stop string that ends first among those that end after
// the first `before` bytes, and cuts the text there.
func (w *writer) find(before int) bool {
	best, start := -1, 0
	var which *string
	for i, s := range w.stops {
		from := max(0, before-len(s)+1)
		at := strings.Index(string(w.text[from:]), s)
		if at < 0 {
			continue
		}
		if end := from + at + len(s); which == nil || end < best {
			best, start, which = end, from+at, &w.stops[i]
		}
	}
	if which == nil {
		return false
	}
	w.stop = which
	if w.include {
		start = best
	}
	w.text = w.text[:start]
	return true
}

// delta is the text since the last delta, without what is held back unless
// the sample has ended.
func (w *writer) delta(ended bool) string {
	end := len(w.text)
	if !ended {
		for range w.hold {
			if end <= w.told {
				return ""
			}
			_, n := utf8.DecodeLastRune(w.text[:end])
			end -= n
		}
	}
	if end <= w.told {
		return ""
	}
	s := string(w.text[w.told:end])
	w.told = end
	return s
}
