package sweep

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/justrl/justrl/benchmarks/table"
	"github.com/justrl/justrl/internal/numerals"
)

// Cost is what is still to be asked for.
type Cost struct {
	Cells     int   `json:"cells"`
	Answers   int   `json:"answers"`    // when all is done
	There     int   `json:"there"`      // already
	Requests  int   `json:"requests"`   // to the models, still
	MaxTokens int64 `json:"max_tokens"` // that these can bring at most
	// Judged is how many questions a judge gets at most, those of an earlier process included.
	Judged int `json:"judge_requests"`
	// Tokens are those to expect and Seconds the time for them, where lengths and
	// speeds have been measured or given; nil where not.
	Tokens  *float64 `json:"expected_tokens,omitempty"`
	Seconds *float64 `json:"expected_seconds,omitempty"`
}

// EvaluationCost is the cost of one evaluation.
type EvaluationCost struct {
	Name      string   `json:"name"`
	Model     string   `json:"model"`
	Servers   []string `json:"servers"`
	AnswersOf string   `json:"answers_of,omitempty"` // the evaluation that samples them
	Cost
	load map[*Server]float64 // seconds
}

// Costs are the plan's in all, and by evaluation.
type Costs struct {
	Cost
	Evaluations []EvaluationCost `json:"evaluations"`
	// Unknown is what the estimate lacks, in words: speeds of servers, without
	// which there is none, and lengths of answers, which count as long as they may be.
	Unknown []string `json:"unknown,omitempty"`
}

// Costs counts what is to be asked for, and estimates the time from what st
// knows: servers work at the same time, so that the busiest decides.
func (p *Plan) Costs(st *State) Costs {
	var all Costs
	load, known := map[*Server]float64{}, true
	tokens, lengths := 0.0, true
	for _, e := range p.Evaluations {
		c := e.cost(st)
		all.Evaluations = append(all.Evaluations, c)
		all.Cells, all.Answers, all.There, all.Requests = all.Cells+c.Cells, all.Answers+c.Answers, all.There+c.There, all.Requests+c.Requests
		all.MaxTokens, all.Judged = all.MaxTokens+c.MaxTokens, all.Judged+c.Judged
		for s, seconds := range c.load {
			load[s] += seconds
		}
		known = known && c.Seconds != nil
		if c.Tokens == nil {
			lengths = false
		} else {
			tokens += *c.Tokens
		}
	}
	all.Unknown = p.unknown(st)
	if lengths {
		all.Tokens = &tokens
	}
	if known {
		most := 0.0
		for _, s := range load {
			most = max(most, s)
		}
		all.Seconds = &most
	}
	return all
}

// unknown are the figures that what is left to ask for would need, each once.
func (p *Plan) unknown(st *State) []string {
	var speeds, lengths []string
	add := func(to *[]string, what string) {
		if !slices.Contains(*to, what) {
			*to = append(*to, what)
		}
	}
	for _, e := range p.Evaluations {
		if !e.asks() {
			continue
		}
		for _, s := range e.Model.Servers {
			if speedOf(s, e.Model, st) == 0 {
				add(&speeds, fmt.Sprintf("speed of %s on %s", e.Model.Name, s.Name))
			}
		}
		for _, c := range e.Cells {
			if c.There < c.Size() && st.Lengths[lengthKey(e.Model, c.Set.Name)].Answers == 0 {
				add(&lengths, fmt.Sprintf("length of %s's answers to %s", e.Model.Name, c.Set.Name))
			}
		}
	}
	return append(speeds, lengths...)
}

func (e *Evaluation) cost(st *State) EvaluationCost {
	c := EvaluationCost{Name: e.Name, Model: e.Model.Name}
	for _, s := range e.Model.Servers {
		c.Servers = append(c.Servers, s.Name)
	}
	tokens, lengths := 0.0, true
	c.Cells = len(e.Cells)
	for _, cell := range e.Cells {
		c.Answers += cell.Size()
		c.There += min(cell.There, cell.Size())
		missing := max(cell.Size()-cell.There, 0)
		if e.Lead != nil {
			missing = 0
		}
		c.Requests += missing
		c.MaxTokens += int64(missing) * int64(e.Sampling.MaxTokens)
		if l := st.Lengths[lengthKey(e.Model, cell.Set.Name)]; l.Answers > 0 {
			tokens += float64(missing) * min(float64(l.Tokens)/float64(l.Answers), float64(e.Sampling.MaxTokens))
		} else if missing > 0 {
			lengths = false
		}
	}
	if e.Lead != nil {
		c.AnswersOf = e.Lead.Name
	}
	if e.Judge != nil && !e.Done {
		c.Judged = c.Answers
	}
	if lengths {
		c.Tokens = &tokens
	}
	c.estimate(e, st)
	return c
}

// estimate needs the speed of every server; without lengths it is of answers
// that all are as long as they may be.
func (c *EvaluationCost) estimate(e *Evaluation, st *State) {
	zero := 0.0
	if c.Requests == 0 {
		c.Seconds = &zero
		return
	}
	tokens := float64(c.MaxTokens)
	if c.Tokens != nil {
		tokens = *c.Tokens
	}
	total := 0.0
	for _, s := range e.Model.Servers {
		v := speedOf(s, e.Model, st)
		if v == 0 && !e.Model.Any { // of Any not all need serve it
			return
		}
		total += v
	}
	if total == 0 {
		return
	}
	seconds := tokens / total
	c.Seconds, c.load = &seconds, map[*Server]float64{}
	for _, s := range e.Model.Servers {
		if speedOf(s, e.Model, st) > 0 {
			c.load[s] = seconds
		}
	}
}

// speedOf is in tokens a second, 0 if unknown; what was measured counts before
// what the spec says.
func speedOf(s *Server, m *Model, st *State) float64 {
	if v := st.Speeds[speedKey(s, m)]; v.Seconds > 0 && v.Tokens > 0 {
		return float64(v.Tokens) / v.Seconds
	}
	return s.TokensPerSecond
}

// JSON writes the costs.
func (c Costs) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(c)
}

// Text writes the plan with its cost, for people.
func (p *Plan) Text(w io.Writer, c Costs) error {
	s := p.Spec
	parts := []string{
		countOf(len(s.Models), "model"), countOf(len(s.Sets), "set"), countOf(len(s.Sampling), "sampling"),
		countOf(len(s.Templates), "template"), countOf(len(s.Judges), "judge"),
	}
	if len(s.Judges) == 1 && s.Judges[0] == nil {
		parts[4] = "no judge"
	}
	if _, err := fmt.Fprintf(w, "%s: %s in %s\n\n", strings.Join(parts, " × "), countOf(c.Cells, "cell"), countOf(len(c.Evaluations), "evaluation")); err != nil {
		return err
	}
	t := table.Table{Header: []string{"evaluation", "servers", "cells", "answers", "there", "requests", "tokens at most", "judge at most", "estimate"}, Words: 2}
	for i, e := range c.Evaluations {
		servers := strings.Join(e.Servers, " ")
		if e.AnswersOf != "" {
			servers = "answers of " + e.AnswersOf
		} else if p.Evaluations[i].Model.Any && len(e.Servers) > 1 {
			servers = fmt.Sprintf("those of %d that serve it", len(e.Servers))
		}
		t.Rows = append(t.Rows, e.row(e.Name, servers))
	}
	t.Rows = append(t.Rows, c.row("in all", ""))
	if err := t.Text(w); err != nil {
		return err
	}
	note := ""
	switch {
	case c.Requests == 0:
		note = "nothing is left to be asked for"
	case c.Seconds == nil:
		note = "no estimate: the speed of a server is not known yet; it is measured on the way, and tokens_per_second says it before"
	case c.Tokens == nil:
		note = "the estimate takes every answer to be as long as it may be, where none was measured"
	}
	if note != "" {
		note = "\n" + note + "\n"
	}
	if len(c.Unknown) > 0 {
		shown := c.Unknown[:min(len(c.Unknown), mostUnknown)]
		note += "not known: " + strings.Join(shown, ", ")
		if rest := len(c.Unknown) - len(shown); rest > 0 {
			note += fmt.Sprintf(" and %d more", rest)
		}
		note += " (--figures DIR takes them from another sweep)\n"
	}
	_, err := io.WriteString(w, note)
	return err
}

// mostUnknown is how many unknown figures are named.
const mostUnknown = 8

// countOf is for a terminal, where every space is as wide.
func countOf(n int, word string) string {
	return strings.ReplaceAll(numerals.CountOf(n, word), "\u00a0", " ")
}

func (c Cost) row(name, servers string) []string {
	estimate := "-"
	if c.Seconds != nil {
		estimate = time.Duration(*c.Seconds * float64(time.Second)).Round(time.Second).String()
	}
	return []string{
		name, servers, fmt.Sprint(c.Cells), numerals.Count(int64(c.Answers)), numerals.Count(int64(c.There)), numerals.Count(int64(c.Requests)),
		numerals.Count(c.MaxTokens), numerals.Count(int64(c.Judged)), estimate,
	}
}
