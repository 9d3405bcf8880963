package sweep

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"github.com/justrl/justrl/benchmarks/table"
)

// What a spread is over.
const (
	OverTemplate = "template"
	OverSeed     = "seed"
)

// Spread is what one set's mean score comes to where the cells differ in
// nothing but the template, or nothing but the seed.
type Spread struct {
	Over   string        `json:"over"` // OverTemplate or OverSeed
	Set    string        `json:"set"`
	Of     string        `json:"of"` // what they have in common
	Scores []SpreadScore `json:"scores"`
	Min    float64       `json:"min"`
	Max    float64       `json:"max"`
	Mean   float64       `json:"mean"`
	SD     float64       `json:"sd"` // n - 1
}

// SpreadScore is one of a spread's.
type SpreadScore struct {
	Value     string  `json:"value"` // the template's name, or the seed
	MeanScore float64 `json:"mean_score"`
}

// Spreads compares the cells that score knows; a group needs two.
func (p *Plan) Spreads(score func(*Evaluation, *Cell) (float64, bool)) []Spread {
	var all []*Spread
	add := func(over, set, of, value string, x float64) {
		i := slices.IndexFunc(all, func(s *Spread) bool { return s.Over == over && s.Set == set && s.Of == of })
		if i < 0 {
			i = len(all)
			all = append(all, &Spread{Over: over, Set: set, Of: of})
		}
		all[i].Scores = append(all[i].Scores, SpreadScore{value, x})
	}
	for _, over := range []string{OverTemplate, OverSeed} {
		for _, e := range p.Evaluations {
			for _, c := range e.Cells {
				x, ok := score(e, c)
				if !ok {
					continue
				}
				if over == OverTemplate {
					add(over, c.Set.Name, e.Label(), c.Template.Title(), x)
				} else {
					add(over, c.Set.Name, e.label(c.Template.Title(), false), fmt.Sprint(e.Sampling.Seed), x)
				}
			}
		}
	}
	var out []Spread
	for _, s := range all {
		if len(s.Scores) < 2 {
			continue
		}
		var xs []float64
		for _, v := range s.Scores {
			xs = append(xs, v.MeanScore)
		}
		s.Min, s.Max = slices.Min(xs), slices.Max(xs)
		s.Mean, s.SD = stat.MeanStdDev(xs, nil)
		out = append(out, *s)
	}
	return out
}

// Label names an evaluation in tables: the model, the sampling and the judge.
func (e *Evaluation) Label() string { return e.label("", true) }

// TemplateLabel names an evaluation under one of its templates, where it has several.
func (e *Evaluation) TemplateLabel(title string) string { return e.label(title, true) }

func (e *Evaluation) label(template string, seed bool) string {
	s := e.Sampling.String()
	if !seed {
		s = s[:strings.LastIndex(s, "-s")]
	}
	parts := []string{e.Model.Name, s}
	if e.Judge != nil {
		parts = append(parts, "judge "+e.Judge.Name)
	}
	if template != "" {
		parts = append(parts, template)
	}
	return strings.Join(parts, " · ")
}

// Parts are what an evaluation is among the others, one after another as the
// spec's axes are: model, temperature, top_p, n, max_tokens, seed, judge.
func (e *Evaluation) Parts() []string {
	s := e.Sampling
	n := "n paper"
	if s.N > 0 {
		n = fmt.Sprintf("n %d", s.N)
	}
	judge := "no judge"
	if e.Judge != nil {
		judge = "judge " + e.Judge.Name
	}
	return []string{
		e.Model.Name, fmt.Sprintf("T %g", s.Temperature), fmt.Sprintf("top-p %g", s.TopP), n,
		fmt.Sprintf("%d tokens", s.MaxTokens), fmt.Sprintf("seed %d", s.Seed), judge,
	}
}

// SpreadTable is that of spreads, in percent.
func SpreadTable(all []Spread) table.Table {
	t := table.Table{Header: []string{"over", "set", "of", "cells", "least %", "most %", "spread", "mean %", "sd"}, Words: 3}
	for _, s := range all {
		t.Rows = append(t.Rows, []string{s.Over, s.Set, s.Of, fmt.Sprint(len(s.Scores)), percent(s.Min), percent(s.Max), percent(s.Max - s.Min), percent(s.Mean), percent(s.SD)})
	}
	return t
}

// SpreadText writes the spreads for people; nothing if there are none.
func SpreadText(w io.Writer, all []Spread) error {
	if len(all) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return SpreadTable(all).Text(w)
}

func percent(x float64) string { return fmt.Sprintf("%.2f", 100*x) }
