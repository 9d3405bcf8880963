package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/justrl/justrl/internal/chart"
	"github.com/justrl/justrl/internal/webpage"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(webpage.Parts().Parse(pageText))

// page is what the template shows; everything that is no template.HTML is escaped.
type page struct {
	Title, Status string
	Lead          []phrase
	Done          bool
	Policy        string
	Style         template.CSS
	Tiles         []tile
	Sets          []setRow
	Facts         []fact
	Main, More    []chart.View
	Smoothed      int
	Answers       []answerSet
	Excerpts      []excerptView
	Servers       []serverRow
	ServerColumns []string
	Table         table
	Events        []eventView // the newest first
	EventsLeft    string      // what is said of those that are not among them
	Config        string
	Info          []fact
}

// tile is one of the headline's figures.
type tile struct{ Name, First, Last, Note string }

// fact is a name with what it says.
type fact struct{ Name, Value string }

func newPage(r *run) (*page, error) {
	p := &page{
		Status: r.status(), Done: r.summary != nil, Title: r.headline(), Lead: r.lead(),
		Policy: webpage.Policy(webpage.StyleSheet),
		Style:  template.CSS(webpage.StyleSheet),
		Tiles:  r.tiles(), Sets: r.setRows(), Facts: r.facts(),
		Answers: r.answerSets(), Excerpts: r.excerptViews(), Servers: r.serverRows(), ServerColumns: serverColumns, Table: r.table(), Config: r.configText, Info: r.infoFacts(),
	}
	p.Events, p.EventsLeft = r.eventViews()
	for i, f := range r.figures() {
		if f.Empty() {
			continue
		}
		f.X, f.Over, f.XMax = "step", "over the steps of the run", float64(r.done())
		view, err := f.View(i < 2)
		if err != nil {
			return nil, fmt.Errorf("draw %s: %w", f.ID, err)
		}
		if i < 2 {
			p.Main = append(p.Main, view)
		} else {
			p.More = append(p.More, view)
		}
		p.Smoothed = max(p.Smoothed, f.Window())
	}
	return p, nil
}

func (p *page) write(w io.Writer) error {
	if err := pageTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("report: write the page: %w", err)
	}
	return nil
}
