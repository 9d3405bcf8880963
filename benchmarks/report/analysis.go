package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/metrics"
)

// cell is a contender's answers to a set; nil if it has none.
func (r *Report) cell(set string, c *Contender) *Cell {
	for _, cell := range r.Cells {
		if cell.Set == set && cell.Contender == c {
			return cell
		}
	}
	return nil
}

// mean is a contender's plain mean over the sets that it has, as the paper's.
func (r *Report) mean(c *Contender) (mean float64, sets []string) {
	for _, set := range r.Sets {
		if cell := r.cell(set, c); cell != nil {
			sets = append(sets, set)
			mean += cell.Results.MeanScore
		}
	}
	return mean / float64(len(sets)), sets
}

// published is a published model's mean over sets in percent; not ok if one of
// them was not measured.
func (p PublishedRow) mean(sets []string) (mean float64, ok bool) {
	for _, set := range sets {
		v, has := p.Scores[set]
		if !has {
			return 0, false
		}
		mean += v / float64(len(sets))
	}
	return mean, len(sets) > 0
}

// Comparison is of two contenders on a set, problem by problem.
type Comparison struct {
	Set string `json:"set"`
	A   string `json:"model_a"`
	B   string `json:"model_b"`
	metrics.Comparison
}

// mostPairs bounds how many pairs of contenders are compared.
const mostPairs = 15

// Compare compares each contender with the first, set by set; all pairs while
// these are few. Sets whose problems do not go together are left out.
func (r *Report) Compare() []Comparison {
	var all []Comparison
	pairs := 0
	for i, a := range r.Contenders {
		for _, b := range r.Contenders[i+1:] {
			n := len(r.Contenders)
			if i > 0 && n*(n-1)/2 > mostPairs || pairs >= mostPairs {
				continue
			}
			pairs++
			for _, set := range r.Sets {
				x, y := r.cell(set, a), r.cell(set, b)
				if x == nil || y == nil || !sameTruths(x, y) {
					continue
				}
				c, err := metrics.Compare(metrics.SolveRates(y.rates), metrics.SolveRates(x.rates), r.o.Seed)
				if err != nil {
					continue // no problem is in both
				}
				all = append(all, Comparison{Set: set, A: b.Label, B: a.Label, Comparison: c})
			}
		}
	}
	return all
}

// sameTruths: problems of one number have one answer in both.
func sameTruths(x, y *Cell) bool {
	truth := map[int]string{}
	for _, w := range x.wrong {
		truth[w.ExampleID] = w.Truth
	}
	return !slices.ContainsFunc(y.wrong, func(w benchmarks.Verdict) bool {
		t, ok := truth[w.ExampleID]
		return ok && t != w.Truth
	})
}

// Breakdown is a cell's results by something that its problems differ in.
type Breakdown struct {
	Set   string         `json:"set"`
	Model string         `json:"model"`
	By    string         `json:"by"`
	Parts []metrics.Part `json:"parts"`
}

// byDifficulty is what breakdowns by a reference model's solve rate are called.
const byDifficulty = "difficulty"

// Breakdowns are by each column of a set whose values repeat, and by difficulty:
// how often the first contender solves a problem, for the others.
func (r *Report) Breakdowns() []Breakdown {
	var all []Breakdown
	for _, c := range r.Cells {
		columns := c.columns
		for _, name := range sorted(columns) {
			parts := metrics.Breakdown(c.rates, func(id int) (string, bool) {
				v, ok := columns[name][id]
				return v, ok
			}, r.o.Seed)
			if len(parts) > 1 {
				all = append(all, Breakdown{c.Set, c.Contender.Label, name, parts})
			}
		}
		if first := r.cell(c.Set, r.Contenders[0]); first != nil && first != c && sameTruths(first, c) {
			parts := metrics.Breakdown(c.rates, metrics.Difficulty(metrics.SolveRates(first.rates)), r.o.Seed)
			if len(parts) > 0 {
				all = append(all, Breakdown{c.Set, c.Contender.Label, byDifficulty, parts})
			}
		}
	}
	return all
}

// answers tells whether the wrong answers of a set are to these problems.
func (r *Report) answers(set string, problems []benchmarks.Problem) bool {
	truth := map[int]string{}
	for _, p := range problems {
		truth[p.ID] = p.Answer
	}
	return !slices.ContainsFunc(r.Cells, func(c *Cell) bool {
		return c.Set == set && slices.ContainsFunc(c.wrong, func(v benchmarks.Verdict) bool { return truth[v.ExampleID] != v.Truth })
	})
}

// Spread is what prompt templates make of a model's score on a set.
type Spread struct {
	Model  string             `json:"model"`
	Set    string             `json:"set"`
	Scores map[string]float64 `json:"mean_score"` // by template
	Spread float64            `json:"spread"`     // the greatest minus the least
}

// Spreads are those of models that were asked with several templates.
func (r *Report) Spreads() []Spread {
	type key struct{ model, folder, sampling string }
	var order []key
	groups := map[key][]*Contender{}
	for _, c := range r.Contenders {
		k := key{c.Model, c.Folder, c.sampling}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], c)
	}
	var all []Spread
	for _, k := range order {
		for _, set := range r.Sets {
			s := Spread{Model: k.model, Set: set, Scores: map[string]float64{}}
			low, high := math.Inf(1), math.Inf(-1)
			for _, c := range groups[k] {
				if cell := r.cell(set, c); cell != nil {
					x := cell.Results.MeanScore
					s.Scores[c.template()] = x
					low, high = min(low, x), max(high, x)
				}
			}
			if len(s.Scores) > 1 {
				s.Spread = high - low
				all = append(all, s)
			}
		}
	}
	return all
}

// templates are the names in spreads, in order.
func templates(all []Spread) []string {
	names := map[string]bool{}
	for _, s := range all {
		for name := range s.Scores {
			names[name] = true
		}
	}
	list := sorted(names)
	slices.SortStableFunc(list, func(a, b string) int { // the paper's first
		return strings.Compare(fmt.Sprint(a != PaperTemplate), fmt.Sprint(b != PaperTemplate))
	})
	return list
}
