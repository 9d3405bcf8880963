package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/justrl/justrl/internal/chart"
)

// Variation is what a set's score comes to over cells that differ in one thing
// alone, such as the seed or the prompt template.
type Variation struct {
	Over   string // what they differ in
	Set    string
	Of     string // what they have in common
	Scores []VariedScore
	Mean   float64
	SD     float64 // n - 1
}

// VariedScore is one of them, between 0 and 1.
type VariedScore struct {
	Value     string // of what they differ in
	MeanScore float64
}

// limits are the least and the greatest score.
func (v Variation) limits() (least, most float64) {
	least, most = v.Scores[0].MeanScore, v.Scores[0].MeanScore
	for _, s := range v.Scores {
		least, most = min(least, s.MeanScore), max(most, s.MeanScore)
	}
	return least, most
}

// Vary has the page show these in the place of the report's own [Report.Spreads],
// which know nothing but templates. One without scores is left out.
func (r *Report) Vary(all []Variation) {
	r.variations = slices.DeleteFunc(slices.Clone(all), func(v Variation) bool { return len(v.Scores) == 0 })
	for i := range r.variations {
		r.variations[i].Set = setName(r.variations[i].Set)
	}
}

// over are the things that cells differ in, in the order of the variations.
func (r *Report) over() []string {
	var all []string
	for _, v := range r.variations {
		if !slices.Contains(all, v.Over) {
			all = append(all, v.Over)
		}
	}
	return all
}

// variationViews are a diagram for each thing that cells differ in.
func (r *Report) variationViews() ([]chart.View, error) {
	var views []chart.View
	for _, over := range r.over() {
		d := chart.Rows{
			ID: "over-" + bare(over), Title: "Over " + over + "s", Unit: "avg@k, % right", Format: percent, Low: 0, High: 100,
			About: "A dot is the mean over " + over + "s, the line goes from the least score to the greatest.",
		}
		for _, set := range r.Sets {
			g := chart.Group{Name: set}
			for _, v := range r.variations {
				if v.Over != over || v.Set != set {
					continue
				}
				at := slices.IndexFunc(d.Series, func(s chart.Series) bool { return s.Name == v.Of })
				if at < 0 {
					at = len(d.Series)
					d.Series = append(d.Series, chart.Series{Name: v.Of, Ink: chart.Line(at)})
				}
				least, most := v.limits()
				g.Values = append(g.Values, chart.Value{Series: at, At: 100 * v.Mean, Low: 100 * least, High: 100 * most, Annotation: "from "})
			}
			if len(g.Values) > 0 {
				d.Groups = append(d.Groups, g)
			}
		}
		if d.Empty() {
			continue
		}
		v, err := d.View(false)
		if err != nil {
			return nil, fmt.Errorf("draw the scores over %ss: %w", over, err)
		}
		views = append(views, v)
	}
	return views, nil
}

// variationTable has a row for each; no rows where there are none.
func (r *Report) variationTable() tableView {
	t := tableView{Label: "Scores over " + strings.Join(r.over(), "s and ") + "s", Words: 4, Header: []string{
		"set", "of", "over", "scores", "least", "most", "spread", "mean", "standard deviation",
	}}
	for _, v := range r.variations {
		var scores []string
		for _, s := range v.Scores {
			scores = append(scores, s.Value+": "+score(s.MeanScore))
		}
		least, most := v.limits()
		t.Rows = append(t.Rows, rowView{Cells: []cellView{
			text(v.Set), text(v.Of), text(v.Over), text(strings.Join(scores, ", ")),
			value(score(least)), value(score(most)), value(score(most - least)), value(score(v.Mean)), value(score(v.SD)),
		}})
	}
	return t
}
