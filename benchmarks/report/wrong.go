package report

import (
	"errors"
	"fmt"
	"html/template"
	"iter"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/internal/numerals"
)

// problemView is a problem with its wrong answers, or on the page after it the
// rest of these.
type problemView struct {
	ID, Anchor    string
	Solved        string // "3 of 32 answers are right"
	Continued     bool
	Prompt, Truth string
	Answers       []answerView
}

// answerView is a wrong answer.
type answerView struct {
	Anchor      string
	Answer      string // as the rules took it; "" if they found none
	By          string // who decided, and how
	Note        string // its length, and whether it was cut off
	Error       string // why there was no verdict; "" if there was one
	Text        excerpt
	Line        string // where the whole of it is; "" if that is not known
	HasResponse bool
}

// The bytes of what is shown once a problem or an answer, at most.
const (
	mostPrompt = 6000
	mostTruth  = 500
	mostAnswer = 160
	mostError  = 300
)

// views are a cell's problems with wrong answers, one at a time and each about
// as long as a page at most: a longer one goes on in the next.
func (c *Cell) views(page int) iter.Seq2[problemView, error] {
	return func(yield func(problemView, error) bool) {
		x, err := c.index()
		if err != nil {
			yield(problemView{}, err)
			return
		}
		if x != nil {
			defer x.Close() //nolint:errcheck // read only
		}
		problems := map[int]generations.Problem{}
		if x != nil {
			for _, p := range x.Problems {
				problems[p.ID] = p
			}
		}
		for i := 0; i < len(c.wrong); {
			id := c.wrong[i].ExampleID
			v := c.problem(id)
			size := 0
			for first := i; i < len(c.wrong) && c.wrong[i].ExampleID == id && size < page; i++ {
				a, prompt, err := c.answer(x, problems[id], c.wrong[i])
				if err != nil {
					yield(problemView{}, err)
					return
				}
				v.Answers = append(v.Answers, a)
				size += a.size()
				if v.Prompt == "" {
					v.Prompt = prompt
				}
				v.Continued = first > 0 && c.wrong[first-1].ExampleID == id
			}
			if v.Continued {
				v.Anchor = "" // the first page has it
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// index opens the generations; nil where they are not to be found.
func (c *Cell) index() (*generations.Index, error) {
	if c.File == "" || len(c.wrong) == 0 {
		return nil, nil
	}
	return generations.OpenIndex(c.File)
}

// problem is its view, without answers.
func (c *Cell) problem(id int) problemView {
	v := problemView{ID: fmt.Sprint(id), Anchor: c.anchor(id)}
	for _, p := range c.rates {
		if p.ID == id {
			right := int(p.SolveRate()*float64(len(p.Answers)) + 0.5)
			v.Solved = fmt.Sprintf("%d of %s right", right, numerals.CountOf(len(p.Answers), "answer"))
		}
	}
	for _, w := range c.wrong {
		if w.ExampleID == id {
			v.Truth = short(w.Truth, mostTruth)
			break
		}
	}
	return v
}

// anchor is where a problem begins on its page.
func (c *Cell) anchor(id int) string { return fmt.Sprintf("p%d", id) }

var errRegraded = errors.New("it is not what was graded: was the file changed since?")

// answer is one wrong answer as the page shows it, and its prompt.
func (c *Cell) answer(x *generations.Index, p generations.Problem, v benchmarks.Verdict) (a answerView, prompt string, err error) {
	a = answerView{Anchor: fmt.Sprintf("p%d-%d", v.ExampleID, v.Sample), Answer: short(v.Answer, mostAnswer), By: decided(v), Error: short(v.Error, mostError)}
	if x == nil {
		return a, "", nil
	}
	fail := func(err error) (answerView, string, error) {
		return a, "", fmt.Errorf("%s: answer %d to problem %d: %w", c.File, v.Sample, v.ExampleID, err)
	}
	if v.Sample < 0 || v.Sample >= len(p.Samples) || p.Samples[v.Sample].Seed != v.Seed || p.Answer != v.Truth {
		return fail(errRegraded)
	}
	s := p.Samples[v.Sample]
	g, err := x.Read(p, s)
	if err != nil {
		return fail(err)
	}
	a.HasResponse = true
	a.Text = newExcerpt(g.Response)
	a.Line = numerals.Count(int64(s.Number))
	a.Note = a.Text.Size
	if g.Tokens > 0 {
		a.Note = numerals.CountOf(g.Tokens, "token")
	}
	if g.FinishReason == "length" {
		a.Note += ", cut off"
	}
	prompt = g.Prompt
	if len(prompt) > mostPrompt {
		prompt = prompt[:boundary(prompt, mostPrompt)] + " …"
	}
	return a, shown(prompt), nil
}

// decided says who found that an answer is wrong, and how.
func decided(v benchmarks.Verdict) string {
	switch {
	case v.Error != "":
		return "no verdict"
	case v.By == benchmarks.ByJudge && v.Judgement == "?":
		return "rule, then judge: no A, B or C"
	case v.By == benchmarks.ByJudge:
		return "rule, then judge: " + short(v.Judgement, 20)
	default:
		return short(v.By, 40)
	}
}

// size is about how long the answer is on the page, in bytes.
func (a answerView) size() int {
	n := 700 + len(a.Answer) + len(a.Error)
	for _, s := range a.Text.End {
		n += len(template.HTMLEscapeString(s.Text))
	}
	for _, s := range a.Text.Before {
		n += len(template.HTMLEscapeString(s.Text))
	}
	return n
}
