package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/justrl/justrl/benchmarks/metrics"
	"github.com/justrl/justrl/internal/numerals"
)

// tableView is a table as the page shows it; its first Words columns are text.
type tableView struct {
	Caption, Label string
	Header         []string
	Words          int
	Rows           []rowView
}

type rowView struct {
	Class string
	Cells []cellView
}

// cellView is a cell; Note is small print under it.
type cellView struct {
	Text, Note string
	Words      bool
}

func text(s string) cellView  { return cellView{Text: s, Words: true} }
func value(s string) cellView { return cellView{Text: s} }
func number(n int) cellView   { return value(numerals.Count(int64(n))) }

// common are the sets that every contender has.
func (r *Report) common() []string {
	return slices.DeleteFunc(slices.Clone(r.Sets), func(set string) bool {
		return slices.ContainsFunc(r.Contenders, func(c *Contender) bool { return r.cell(set, c) == nil })
	})
}

// meanOver is a contender's mean over sets that it has.
func (r *Report) meanOver(c *Contender, sets []string) float64 {
	sum := 0.0
	for _, set := range sets {
		sum += r.cell(set, c).Results.MeanScore
	}
	return sum / float64(len(sets))
}

// scoreTable is sets × contenders, and beside them what was published.
func (r *Report) scoreTable() tableView {
	published := r.publishedRows()
	t := tableView{Caption: "avg@k in %, with 95 % intervals below", Label: "Scores by set", Words: 1, Header: []string{"set", "k"}}
	if how := r.unlike(); how != "" {
		t.Caption += ". " + how
	}
	for _, c := range r.Contenders {
		t.Header = append(t.Header, c.Label)
	}
	for _, p := range published {
		t.Header = append(t.Header, p.Model+", published")
	}
	for _, set := range r.Sets {
		row := rowView{Cells: []cellView{text(set), value(r.ks(set))}}
		for _, c := range r.Contenders {
			cell := r.cell(set, c)
			if cell == nil {
				row.Cells = append(row.Cells, value(numerals.None))
				continue
			}
			in := cell.Results.MeanScore95
			row.Cells = append(row.Cells, cellView{Text: score(cell.Results.MeanScore), Note: score(in[0]) + " – " + score(in[1])})
		}
		for _, p := range published {
			row.Cells = append(row.Cells, publishedCell(p.Scores[set]))
		}
		t.Rows = append(t.Rows, row)
	}
	if sets := r.common(); len(sets) > 1 {
		row := rowView{Class: "mean", Cells: []cellView{text("mean of " + numerals.CountOf(len(sets), "set")), value("")}}
		for _, c := range r.Contenders {
			row.Cells = append(row.Cells, value(score(r.meanOver(c, sets))))
		}
		for _, p := range published {
			m, ok := p.mean(sets)
			if !ok {
				m = 0
			}
			cell := publishedCell(m)
			if len(sets) == len(PublishedSets()) && ok {
				cell.Note = fmt.Sprintf("its base %.2f", p.Base)
			}
			row.Cells = append(row.Cells, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func publishedCell(percent float64) cellView {
	if percent == 0 {
		return value(numerals.None)
	}
	return value(fmt.Sprintf("%.2f", percent))
}

// ks says how many answers a problem of the set has.
func (r *Report) ks(set string) string {
	var all []string
	for _, c := range r.Cells {
		if c.Set == set {
			if k := samples(c.Results); !slices.Contains(all, k) {
				all = append(all, k)
			}
		}
	}
	return strings.Join(all, ", ")
}

func samples(res metrics.Results) string {
	if res.SamplesMin == res.SamplesMax {
		return fmt.Sprint(res.SamplesMax)
	}
	return fmt.Sprintf("%d–%d", res.SamplesMin, res.SamplesMax)
}

// detailTable has all figures, a row a cell.
func (r *Report) detailTable() tableView {
	t := tableView{Label: "All figures", Words: 2, Header: []string{
		"set", "model", "problems", "k", "avg@k", "95 %", "pass@k", "majority@k", "solved by none", "by all", "cut off", "no box",
		"tokens, mean", "median", "90 % below", "distinct 4-grams",
	}}
	for _, c := range r.Cells {
		x := c.Results
		cut := numerals.None
		if x.Truncated != nil {
			cut = score(*x.Truncated)
		}
		row := []cellView{
			text(c.Set), text(c.Contender.Label), number(x.Problems), value(samples(x)), value(score(x.MeanScore)),
			value(score(x.MeanScore95[0]) + " – " + score(x.MeanScore95[1])), value(lastOf(x.PassAtK)), value(lastOf(x.MajorityAtK)),
			number(x.SolveNone), number(x.SolveAll), value(cut), number(x.FormatErrorRollouts),
		}
		if l := x.Tokens; l != nil {
			row = append(row, value(numerals.Plain(l.Mean)), number(l.Median), number(l.P90))
		} else {
			row = append(row, value(numerals.None), value(numerals.None), value(numerals.None))
		}
		t.Rows = append(t.Rows, rowView{Cells: append(row, value(fmt.Sprintf("%.3f", x.Distinct4Gram)))})
	}
	return t
}

// lastOf is the figure of the largest k.
func lastOf(all []metrics.AtK) string {
	if len(all) == 0 {
		return numerals.None
	}
	return score(all[len(all)-1].Mean)
}

// verdictTable says who decided.
func (r *Report) verdictTable() tableView {
	t := tableView{Label: "Who decided", Words: 2, Header: []string{
		"set", "model", "answers", "right by rule", "right by judge", "wrong", "judge asked", "A", "B", "C", "none of these", "no verdict", "timed out",
	}}
	for _, c := range r.Cells {
		v := c.Results.Verdicts
		wrong := c.Results.Answers - v.RuleCorrect - v.JudgeCorrect
		t.Rows = append(t.Rows, rowView{Cells: []cellView{
			text(c.Set), text(c.Contender.Label), number(c.Results.Answers), number(v.RuleCorrect), number(v.JudgeCorrect), number(wrong), number(v.Judged),
			number(v.Judgements["A"]), number(v.Judgements["B"]), number(v.Judgements["C"]), number(v.Judgements["?"]), number(v.Errors), number(v.Timeouts),
		}})
	}
	return t
}

// comparisonTable is of pairs of contenders; no rows where there are none.
func (r *Report) comparisonTable() tableView {
	t := tableView{Label: "Contenders compared problem by problem", Words: 3, Header: []string{
		"set", "model", "against", "problems", "difference", "95 %", "p", "better on", "worse on",
	}}
	for _, c := range r.Compare() {
		t.Rows = append(t.Rows, rowView{Cells: []cellView{
			text(c.Set), text(c.A), text(c.B), number(c.Problems), value(points(c.Difference)),
			value(points(c.In95[0]) + " – " + points(c.In95[1])), value(probability(c.P)), number(c.Better), number(c.Worse),
		}})
	}
	return t
}

// spreadTable is of prompt templates; no rows where there is but one.
func (r *Report) spreadTable() tableView {
	spreads := r.Spreads()
	names := templates(spreads)
	t := tableView{Label: "Scores by prompt template", Words: 2, Header: append(append([]string{"set", "model"}, names...), "spread")}
	for _, s := range spreads {
		row := rowView{Cells: []cellView{text(s.Set), text(s.Model)}}
		for _, name := range names {
			cell := value(numerals.None)
			if x, ok := s.Scores[name]; ok {
				cell = value(score(x))
			}
			row.Cells = append(row.Cells, cell)
		}
		row.Cells = append(row.Cells, value(score(s.Spread)))
		t.Rows = append(t.Rows, row)
	}
	return t
}

// breakdownTables are one for each set and thing to break down by.
func (r *Report) breakdownTables() []tableView {
	type key struct{ set, by string }
	var order []key
	groups := map[key][]Breakdown{}
	for _, b := range r.Breakdowns() {
		k := key{b.Set, b.By}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], b)
	}
	var all []tableView
	for _, k := range order {
		t := tableView{Caption: k.set + " by " + short(k.by, 60), Label: k.set + " by " + short(k.by, 60), Words: 2, Header: []string{short(k.by, 60), "model", "problems", "answers", "avg@k", "95 %", "solved at all"}}
		if k.by == byDifficulty {
			t.Caption = k.set + " by difficulty: how often " + r.Contenders[0].Label + " solves a problem"
			t.Header[0] = "solved by it"
		}
		for _, b := range groups[k] {
			for _, p := range b.Parts {
				t.Rows = append(t.Rows, rowView{Cells: []cellView{
					text(difficulty(k.by, p.Key)), text(b.Model), number(p.Problems), number(p.Answers), value(score(p.MeanScore)),
					value(score(p.In95[0]) + " – " + score(p.In95[1])), value(score(p.BestScore)),
				}})
			}
		}
		all = append(all, t)
	}
	return all
}

// difficulty is a part's key for people.
func difficulty(by, key string) string {
	if by != byDifficulty {
		return short(key, 60)
	}
	words := map[string]string{
		"0": "never", "0-0.25": "up to 25 %", "0.25-0.5": "25 to 50 %", "0.5-0.75": "50 to 75 %", "0.75-1": "75 % and more", "1": "always",
	}
	if w, ok := words[key]; ok {
		return w
	}
	return short(key, 60)
}
