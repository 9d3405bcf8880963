package trials

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/justrl/justrl/internal/chart"
	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/internal/webpage"
)

// PageName is that of the page in a sweep's folder.
const PageName = "report.html"

//go:embed page.html
var pageText string

var pageTemplate = template.Must(webpage.Parts().Parse(pageText))

// Page writes one HTML page about all recipes, which needs nothing else.
func (r *Results) Page(w io.Writer) error {
	p := struct {
		Title, Lead, About, Policy string
		Style                      template.CSS
		Columns                    []string
		Rows                       [][]string
		Findings                   []string
		Runs                       []*Run
		Main, More                 []chart.View
	}{
		Policy: webpage.Policy(webpage.StyleSheet), Style: template.CSS(webpage.StyleSheet),
		About: About, Columns: r.columns(), Rows: r.rows(), Findings: r.Findings(),
	}
	for _, recipe := range r.Recipes {
		p.Runs = append(p.Runs, recipe.Runs...)
	}
	p.Title = numerals.CountOf(len(r.Recipes), "recipe") + ", " + numerals.CountOf(len(p.Runs), "run")
	for i, f := range r.Figures() {
		view, err := f.View(i < 2)
		if err != nil {
			return fmt.Errorf("draw %s: %w", f.ID, err)
		}
		if i < 2 {
			p.Main = append(p.Main, view)
		} else {
			p.More = append(p.More, view)
		}
	}
	if err := pageTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}
