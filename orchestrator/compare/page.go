package compare

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/internal/chart"
	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/internal/webpage"
	"github.com/justrl/justrl/orchestrator/journal"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(webpage.Parts().Parse(pageText))

// page is what the template shows; everything that is no template.HTML is escaped.
type page struct {
	Title, Policy string
	Style         template.CSS
	Notes         []string
	Recipes       []*Recipe
	Equals        []tableView
	Ends          tableView
	Axes          []axisView
	Costs         table
}

// tableView is a table of measures, with what it allows to say.
type tableView struct {
	Title, About string
	Columns      []string // the recipes' names
	Rows         []rowView
}

type rowView struct {
	Measure string
	Cells   []cellView
	Said    []verdictView
}

// cellView is a figure, and of how many seeds after how many steps it is; "" if there is none.
type cellView struct{ Value, Of string }

func (c cellView) String() string {
	if c.Of == "" {
		return c.Value
	}
	return c.Value + " (" + c.Of + ")"
}

type verdictView struct {
	Text string
	Told bool // one is ahead of all others
}

type axisView struct {
	ID, Title, About string
	Figures          []chart.View
}

type table struct {
	Columns []string
	Rows    []tableRow
}

type tableRow struct {
	Name  string
	Cells []string
}

// WriteHTML writes the comparison as one HTML file that needs nothing else.
func (c *Comparison) WriteHTML(w io.Writer) error {
	p := page{
		Title: c.title(), Policy: webpage.Policy(webpage.StyleSheet), Style: template.CSS(webpage.StyleSheet),
		Notes: c.Notes, Recipes: c.Recipes, Costs: c.costs(),
	}
	for _, e := range c.Equals {
		p.Equals = append(p.Equals, c.equalView(e))
	}
	p.Ends = c.endsView()
	for i, a := range axes {
		v := axisView{ID: "by-" + a.ID, Title: "By " + a.Name, About: a.About}
		for _, m := range c.measures {
			f := c.figure(m, i)
			if f.Empty() || m.neutral && a.ID != "step" {
				continue
			}
			view, err := f.View(true)
			if err != nil {
				return fmt.Errorf("report: draw %s: %w", f.ID, err)
			}
			v.Figures = append(v.Figures, view)
		}
		if len(v.Figures) > 0 {
			p.Axes = append(p.Axes, v)
		}
	}
	if err := pageTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("report: write the page: %w", err)
	}
	return nil
}

// To writes the page to a file; what was there is replaced only by a whole page.
func (c *Comparison) To(path string) error { return atomicdir.ReplaceFile(path, c.WriteHTML) }

func (c *Comparison) title() string {
	runs := 0
	for _, p := range c.Recipes {
		runs += len(p.Runs)
	}
	return numerals.CountOf(len(c.Recipes), "recipe") + ", " + numerals.CountOf(runs, "run")
}

// budget is that of e in words.
func (e Equal) budget() string {
	u := axes[e.axis].unitFor(e.Budget)
	return numerals.Plain(e.Budget/u.size) + "\u00a0" + u.name
}

func (e Equal) title() string {
	if e.Why != "" {
		return "By " + e.Axis + ": cannot be compared"
	}
	return "By " + e.Axis + ": after " + e.budget()
}

// columns are the recipes' names.
func (c *Comparison) columns() (all []string) {
	for _, p := range c.Recipes {
		all = append(all, p.Name)
	}
	return all
}

func (c *Comparison) equalView(e Equal) tableView {
	v := tableView{Title: e.title(), About: e.Why, Columns: c.columns()}
	if e.Why == "" {
		v.About = fmt.Sprintf("The smallest budget that all runs have reached. Of training the mean of the last %d steps within it, of held-out problems the last measurement within it. ± is half of the 95 %% interval over seeds.", LastSteps)
	}
	for _, row := range e.Rows {
		r := rowView{Measure: row.measure.name, Said: []verdictView{{row.Verdict, row.Told}}}
		for _, cell := range row.Cells {
			r.Cells = append(r.Cells, cell.view(row.measure))
		}
		v.Rows = append(v.Rows, r)
	}
	return v
}

func (c *Comparison) endsView() tableView {
	v := tableView{Title: "At the end of the runs", Columns: c.columns(),
		About: fmt.Sprintf("First → last, whatever the runs took. Of training the first step and the mean of the last %d, of held-out problems the first and the last measurement. ± is half of the 95 %% interval over seeds.", LastSteps)}
	for _, e := range c.ends {
		r := rowView{Measure: e.name}
		for i, cell := range e.last {
			v := cell.view(e.measure)
			if e.first[i].N > 0 && cell.N > 0 {
				v.Value = e.text(e.first[i].Mean) + " → " + v.Value
			}
			r.Cells = append(r.Cells, v)
		}
		for _, said := range e.said {
			r.Said = append(r.Said, verdictView{Text: said})
		}
		v.Rows = append(v.Rows, r)
	}
	return v
}

// view is a cell's: the mean, its interval, and after how many steps.
func (c Cell) view(m measure) cellView {
	if c.N == 0 {
		return cellView{Value: numerals.None}
	}
	text := m.text(c.Mean)
	if c.N > 1 {
		text += " ± " + m.half(c.Half)
	}
	low, high := c.Steps[0], c.Steps[0]
	for _, s := range c.Steps {
		low, high = min(low, s), max(high, s)
	}
	after := numerals.Count(int64(low))
	if high > low {
		after += "–" + numerals.Count(int64(high))
	}
	return cellView{text, numerals.CountOf(c.N, "seed") + ", step " + after}
}

// costs is what each run took.
func (c *Comparison) costs() table {
	amount := func(f func(journal.Cost) float64) func(*Run) string {
		return func(r *Run) string { return orNone(f(r.All), numerals.Amount) }
	}
	flops := func(f func(*Run) float64) func(*Run) string {
		return func(r *Run) string {
			return orNone(f(r), func(x float64) string {
				u := axes[axisAt("flops")].unitFor(x)
				return numerals.Plain(x/u.size) + "\u00a0" + u.name
			})
		}
	}
	seconds := func(f func(journal.Cost) float64) func(*Run) string {
		return func(r *Run) string { return orNone(f(r.All), numerals.Duration) }
	}
	columns := []struct {
		name string
		of   func(*Run) string
	}{
		{"steps", func(r *Run) string { return numerals.Count(int64(r.Steps)) }},
		{"tokens generated", amount(func(c journal.Cost) float64 { return float64(c.TokensGenerated) })},
		{"left out", amount(func(c journal.Cost) float64 { return float64(c.TokensUnused) })},
		{"drawn again", amount(func(c journal.Cost) float64 { return float64(c.TokensResampled) })},
		{"trained on", amount(func(c journal.Cost) float64 { return float64(c.TokensTrained) })},
		{"validation", amount(func(c journal.Cost) float64 { return float64(c.TokensValidated) })},
		{"server time", seconds(func(c journal.Cost) float64 { return c.ServerSeconds })},
		{"trainer time", seconds(func(c journal.Cost) float64 { return c.TrainerSeconds })},
		{"sampling", flops(func(r *Run) float64 { return r.All.FLOPsGenerated })},
		{"training", flops(func(r *Run) float64 { return r.All.FLOPsTrained })},
		{"validating", flops(func(r *Run) float64 { return r.All.FLOPsValidated })},
		{"done twice", flops(func(r *Run) float64 { return r.Lost.FLOPsGenerated + r.Lost.FLOPsTrained + r.Lost.FLOPsValidated })},
	}
	var t table
	for _, column := range columns {
		t.Columns = append(t.Columns, column.name)
	}
	for _, p := range c.Recipes {
		for _, r := range p.Runs {
			row := tableRow{Name: p.Name + ", seed " + fmt.Sprint(r.Seed)}
			for _, column := range columns {
				row.Cells = append(row.Cells, column.of(r))
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

func orNone(x float64, format numerals.Format) string {
	if x > 0 {
		return format(x)
	}
	return numerals.None
}
