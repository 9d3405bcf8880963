package metrics

import (
	"strings"
	"unicode/utf8"

	"github.com/justrl/justrl/benchmarks"
)

// Answer is what the figures need to know of a graded generation.
type Answer struct {
	Correct   bool
	By        string // benchmarks.ByRule or ByJudge
	Judgement string // the judge's; "" if it was not asked
	// Vote is equal for answers that are the same to a majority; "" has no answer and no vote.
	Vote         string
	Failed       bool // a verifier gave no verdict
	TimedOut     bool // … because it took too long
	Boxed        bool // the response has the letters "boxed", as the authors count
	Tokens       int  // 0 where nobody knows
	Characters   int
	FinishReason string // "" where nobody knows
}

// NewAnswer sums up a generation and its verdict. The vote is the verdict's
// answer as [Normalize] has it.
func NewAnswer(g benchmarks.Generation, v benchmarks.Verdict) Answer {
	return Answer{
		Correct: v.Correct, By: v.By, Judgement: v.Judgement, Vote: Normalize(v.Answer),
		Failed: v.Error != "", TimedOut: v.TimedOut,
		Boxed: strings.Contains(g.Response, "boxed"), Tokens: g.Tokens, Characters: utf8.RuneCountInString(g.Response),
		FinishReason: g.FinishReason,
	}
}

// Problem is one problem's answers.
type Problem struct {
	ID        int
	Answers   []Answer // at least one, in file order
	Distinct4 float64  // [Distinct.Share] of the responses
}

func (p Problem) correct() int {
	n := 0
	for _, a := range p.Answers {
		if a.Correct {
			n++
		}
	}
	return n
}

// SolveRate is the share of right answers.
func (p Problem) SolveRate() float64 { return float64(p.correct()) / float64(len(p.Answers)) }

// SolveRates are those of problems by id.
func SolveRates(problems []Problem) map[int]float64 {
	rates := make(map[int]float64, len(problems))
	for _, p := range problems {
		rates[p.ID] = p.SolveRate()
	}
	return rates
}
