package monitor

import (
	"slices"
	"strings"
	"unicode"

	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// The definitions of [journal.Texts], which docs/monitoring.md explains.
const (
	reasoningWords = 8   // before the last box; an answer with fewer gives no reasons
	manyBoxes      = 4   // a thought and its solution have one or two
	copiedTokens   = 128 // from which on two honest samples are not the same text
	loopTokens     = 256 // at an answer's end that are searched for a loop
	leastLoop      = 64  // tokens; what is shorter repeats itself by chance
	loopDistinct   = 0.3 // share of distinct runs of four tokens below which it is one
)

// Describe says what the answers of a step look like. It blocks for some
// 20 ms a thousand answers of 10,000 tokens. Without an answer all is 0.
func Describe(groups []sampler.Group) journal.Texts {
	var t journal.Texts
	answers, truths := map[string]int{}, map[string]int{}
	rollouts, rows := 0, 0
	boxed, noReasoning, only, many, copied, looping := 0, 0, 0, 0, 0, 0
	for _, g := range groups {
		rows++
		truths[g.Row.Problem.Answer]++
		long := map[string]int{}
		for _, o := range g.Rollouts {
			rollouts++
			if o.Score.Answer != "" {
				answers[o.Score.Answer]++
			}
			if len(o.TokenIDs) >= copiedTokens {
				long[o.Text]++
			}
			if loops(o.TokenIDs) {
				looping++
			}
			b := boxes(o.Text)
			if b.closed == 0 {
				continue
			}
			boxed++
			if b.words < reasoningWords {
				noReasoning++
			}
			if b.bare {
				only++
			}
			if b.closed >= manyBoxes {
				many++
			}
		}
		for _, n := range long {
			if n > 1 {
				copied += n
			}
		}
	}
	if rollouts == 0 {
		return t
	}
	share := func(n, of int) float64 { return float64(n) / float64(max(of, 1)) }
	t.Boxed = share(boxed, rollouts)
	t.NoReasoning, t.BoxedOnly, t.ManyBoxes = share(noReasoning, boxed), share(only, boxed), share(many, boxed)
	t.Copied, t.Looping = share(copied, rollouts), share(looping, rollouts)
	for answer, n := range answers {
		t.OneAnswer = max(t.OneAnswer, share(n, rollouts)-share(truths[answer], rows))
	}
	return t
}

// box says what an answer's boxes are like.
type box struct {
	closed int  // of \boxed{…}
	words  int  // before the last of them, no more than reasoningWords counted
	bare   bool // there is no letter or digit outside of them
}

const boxOpen = `\boxed{`

// boxes finds the closed boxes of a text; those inside another are not counted.
// It reads a text once but for one box that is never closed.
func boxes(text string) box {
	b := box{bare: true}
	last := 0 // where the last closed one begins
	rest := 0 // what is before it was looked at
	for {
		at := strings.Index(text[rest:], boxOpen)
		if at < 0 {
			break
		}
		at += rest
		end := closing(text, at+len(boxOpen))
		if end < 0 {
			break
		}
		b.bare = b.bare && !says(text[rest:at])
		b.closed++
		last, rest = at, end
	}
	b.bare = b.bare && !says(text[rest:])
	if b.closed > 0 {
		for range strings.FieldsSeq(text[:last]) {
			if b.words++; b.words == reasoningWords {
				break
			}
		}
	}
	return b
}

// closing is the end of the box whose content begins at from; -1 without one.
func closing(text string, from int) int {
	open := 1
	for i := from; i < len(text); i++ {
		switch text[i] {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return i + 1
			}
		}
	}
	return -1
}

func says(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// loops tells whether an answer's end repeats itself: of its runs of four tokens
// hardly any is new.
func loops(tokens []int32) bool {
	tokens = tokens[max(0, len(tokens)-loopTokens):]
	if len(tokens) < leastLoop {
		return false
	}
	runs := make([][4]int32, 0, loopTokens)
	for i := 3; i < len(tokens); i++ {
		runs = append(runs, [4]int32(tokens[i-3:i+1]))
	}
	slices.SortFunc(runs, func(a, b [4]int32) int { return slices.Compare(a[:], b[:]) })
	return float64(len(slices.Compact(runs))) < loopDistinct*float64(len(tokens)-3)
}
