package report

import (
	"fmt"

	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/internal/webpage"
	"github.com/justrl/justrl/orchestrator/journal"
)

// answerSet is a held-out set's answers before and after, as the page shows them.
type answerSet struct {
	Set, About string
	Counts     []changeCount
	Examples   []exampleView
}

// changeCount is how often an answer changed in one way.
type changeCount struct {
	Class, Name, Count, Share string
}

// exampleView is one problem with its two answers.
type exampleView struct {
	Change, Class, Problem string
	Question, Truth        string
	Before, After          answerView
}

// answerView is an answer, cut to what can be shown.
type answerView struct {
	When, Verdict string
	Right         bool
	Note          string
	Spans         []webpage.Span
}

var changeNames = [changes]struct{ class, name string }{
	becameRight: {"became-right", "wrong before, right after"},
	stayedRight: {"stayed-right", "right both times"},
	stayedWrong: {"stayed-wrong", "wrong both times"},
	becameWrong: {"became-wrong", "right before, wrong after"},
}

func (r *run) answerSets() []answerSet {
	var all []answerSet
	for _, c := range r.compared {
		how := r.decoding()
		if c.sampled {
			how = r.trainingDecoding()
		}
		s := answerSet{Set: c.set, About: fmt.Sprintf("%s, answered %s and %s (%s)", numerals.CountOf(c.problems, "problem"), after(c.before), after(c.after), how)}
		if c.answers != c.problems {
			s.About += ", " + numerals.CountOf(c.answers, "answer") + " in all"
		}
		s.About += "."
		if c.unmatched > 0 {
			s.About += fmt.Sprintf(" %s that only one of the two measurements has %s left out.", numerals.CountOf(c.unmatched, "answer"), isAre(c.unmatched))
		}
		for _, kind := range []change{becameRight, stayedRight, stayedWrong, becameWrong} {
			n := changeNames[kind]
			s.Counts = append(s.Counts, changeCount{n.class, n.name, numerals.Count(int64(c.counts[kind])), numerals.Percent(100 * float64(c.counts[kind]) / float64(c.answers))})
		}
		for _, e := range c.examples {
			n := changeNames[e.change]
			s.Examples = append(s.Examples, exampleView{
				Change: numerals.UpperFirst(n.name), Class: n.class, Problem: e.after.ProblemID, Question: e.after.Question, Truth: e.after.GroundTruth,
				Before: viewAnswer(numerals.UpperFirst(after(c.before)), e.before), After: viewAnswer(numerals.UpperFirst(after(c.after)), e.after),
			})
		}
		all = append(all, s)
	}
	return all
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// after names a measurement by the steps before it.
func after(steps int) string {
	if steps == 0 {
		return "before training"
	}
	return "after " + numerals.CountOf(steps, "step")
}

func viewAnswer(when string, a journal.Answer) answerView {
	v := answerView{When: when, Verdict: "wrong", Right: a.Correct, Note: numerals.CountOf(a.Tokens, "token"), Spans: webpage.Spans(a.Text)}
	if a.Correct {
		v.Verdict = "right"
	}
	if a.FinishReason == "length" {
		v.Note += ", cut off"
	}
	return v
}

// excerptView is some of a training step's rollouts as the page shows them.
type excerptView struct {
	Step, About string
	Answers     []rolloutView
}

type rolloutView struct {
	Problem string
	answerView
}

func (r *run) excerptViews() []excerptView {
	var all []excerptView
	for _, e := range r.excerpts {
		v := excerptView{
			Step:  numerals.Count(int64(e.step) + 1),
			About: fmt.Sprintf("%s of %s had a reward above 0.", numerals.Count(int64(e.rewarded)), numerals.CountOf(e.total, "answer")),
		}
		for _, a := range e.examples {
			view := answerView{Verdict: "reward " + numerals.Signed(fmt.Sprintf("%+.4g", a.Reward)), Right: a.Reward > 0, Spans: webpage.Spans(a.Text)}
			if a.FinishReason == "length" {
				view.Note = "cut off"
			}
			v.Answers = append(v.Answers, rolloutView{a.ProblemID, view})
		}
		all = append(all, v)
	}
	return all
}
