package report

import (
	"fmt"

	"github.com/justrl/justrl/benchmarks/metrics"
	"github.com/justrl/justrl/internal/chart"
	"github.com/justrl/justrl/internal/numerals"
)

// percent is the format of a score in a diagram.
func percent(x float64) string { return fmt.Sprintf("%.2f", x) }

// series are the contenders, and behind them the published models where any of
// the sets is theirs.
func (r *Report) series(published bool) []chart.Series {
	var all []chart.Series
	for i, c := range r.Contenders {
		all = append(all, chart.Series{Name: c.Label, Ink: chart.Line(i)})
	}
	if published {
		for i, p := range r.publishedRows() {
			all = append(all, chart.Series{Name: p.Model + ", published", Ink: chart.Line(max(4, len(r.Contenders)) + i), Hollow: true})
		}
	}
	return all
}

// rows makes a diagram with a group for each set and in it a value for each
// contender that has one.
func (r *Report) rows(d chart.Rows, published bool, value func(c *Cell) (chart.Value, bool)) chart.Rows {
	d.Series = r.series(published)
	for _, set := range r.Sets {
		g := chart.Group{Name: set}
		for i, c := range r.Contenders {
			cell := r.cell(set, c)
			if cell == nil {
				continue
			}
			if v, ok := value(cell); ok {
				v.Series = i
				g.Values = append(g.Values, v)
			}
		}
		if published {
			for i, p := range r.publishedRows() {
				if x, ok := p.Scores[set]; ok {
					g.Values = append(g.Values, chart.Value{Series: len(r.Contenders) + i, At: x})
				}
			}
		}
		if len(g.Values) > 0 {
			d.Groups = append(d.Groups, g)
		}
	}
	return d
}

// views draws all diagrams: that of the scores first.
func (r *Report) views() (scores chart.View, more, passes []chart.View, err error) {
	d := r.rows(chart.Rows{
		ID: "scores", Title: "Scores", Unit: "avg@k, % right", Format: percent, Low: 0, High: 100,
		About: "A dot is the mean of a set's problems; the line through it holds what another draw of such problems would give, with a confidence of 95 %.",
	}, true, func(c *Cell) (chart.Value, bool) {
		return chart.Value{At: 100 * c.Results.MeanScore, Low: 100 * c.Results.MeanScore95[0], High: 100 * c.Results.MeanScore95[1], Annotation: "95 %: "}, true
	})
	if r.publishedRows() != nil {
		d.About += " Rings are the paper's own results (" + Source + ")."
	}
	if scores, err = d.View(true); err != nil {
		return scores, nil, nil, fmt.Errorf("draw the scores: %w", err)
	}
	for _, d := range []chart.Rows{r.lengths(), r.truncated()} {
		if d.Empty() {
			continue
		}
		v, err := d.View(false)
		if err != nil {
			return scores, nil, nil, fmt.Errorf("draw %s: %w", d.ID, err)
		}
		more = append(more, v)
	}
	for _, set := range r.Sets {
		f := r.passes(set)
		if f.Empty() {
			continue
		}
		v, err := f.View(false)
		if err != nil {
			return scores, nil, nil, fmt.Errorf("draw %s: %w", f.ID, err)
		}
		passes = append(passes, v)
	}
	return scores, more, passes, nil
}

// lengths are those of the answers, in tokens where all files say them.
func (r *Report) lengths() chart.Rows {
	unit, of := "tokens", func(c *Cell) *metrics.Lengths { return c.Results.Tokens }
	for _, c := range r.Cells {
		if c.Results.Tokens == nil {
			unit, of = "characters", func(c *Cell) *metrics.Lengths { return c.Results.Characters }
		}
	}
	return r.rows(chart.Rows{
		ID: "lengths", Title: "Length of the answers", Unit: unit, Format: numerals.Plain,
		About: "A dot is the median. Eight of ten answers are as long as the thick line says; the thin one goes from the shortest to what 99 of 100 stay below.",
	}, false, func(c *Cell) (chart.Value, bool) {
		l := of(c)
		if l == nil {
			return chart.Value{}, false
		}
		return chart.Value{
			At: float64(l.Median), Low: float64(l.P10), High: float64(l.P90), Least: float64(l.Min), Most: float64(l.P99), Annotation: "eight of ten from ",
		}, true
	})
}

func (r *Report) truncated() chart.Rows {
	return r.rows(chart.Rows{
		ID: "truncated", Title: "Answers cut off", Unit: "% of a set", Format: percent,
		About: "Answers that reached the limit of tokens before they ended.",
	}, false, func(c *Cell) (chart.Value, bool) {
		if c.Results.Truncated == nil {
			return chart.Value{}, false
		}
		return chart.Value{At: 100 * *c.Results.Truncated}, true
	})
}

// passes are a set's curves over k: of pass@k with its interval, and while there
// are few contenders of the majority's score.
func (r *Report) passes(set string) chart.Figure {
	f := chart.Figure{
		ID: "pass-" + bare(set), Title: set, Unit: "% of the problems", Format: percent, X: "k", Over: "over k answers a problem", XMin: 1, Zero: true,
	}
	few := len(r.Contenders) <= 2
	for i, c := range r.Contenders {
		cell := r.cell(set, c)
		if cell == nil || len(cell.Results.PassAtK) < 2 {
			continue
		}
		curve := chart.Curve{Name: "pass@k", Ink: chart.Line(i)}
		vote := chart.Curve{Name: "majority@k", Ink: chart.Line(i), Dashed: true}
		if len(r.Contenders) > 1 {
			curve.Name, vote.Name = c.Label, c.Label+", majority"
		}
		for _, at := range cell.Results.PassAtK {
			curve.X, curve.Y = append(curve.X, float64(at.K)), append(curve.Y, 100*at.Mean)
			curve.Lower, curve.Upper = append(curve.Lower, 100*at.In95[0]), append(curve.Upper, 100*at.In95[1])
			f.XMax = max(f.XMax, float64(at.K))
		}
		for _, at := range cell.Results.MajorityAtK {
			vote.X, vote.Y = append(vote.X, float64(at.K)), append(vote.Y, 100*at.Mean)
		}
		if !few {
			curve.Lower, curve.Upper = nil, nil
		}
		f.Curves = append(f.Curves, curve)
		if few && len(vote.Y) > 1 {
			f.Curves = append(f.Curves, vote)
		}
	}
	return f
}
