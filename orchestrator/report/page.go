package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var pageText string

//go:embed page.css
var styleSheet string

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
	Main, More    []figureView
	Smoothed      int
	Answers       []answerSet
	Excerpts      []excerptView
	Table         table
	Config        string
	Info          []fact
}

// tile is one of the headline's figures.
type tile struct{ Name, First, Last, Note string }

// fact is a name with what it says.
type fact struct{ Name, Value string }

// figureView is a figure as the page shows it.
type figureView struct {
	ID, Title, Unit, About string
	Legend                 []legendView
	Wide, Narrow           template.HTML // Wide is empty where one drawing does for every screen
}

// legendView is a curve's entry under the title of its figure.
type legendView struct{ Class, Name, Change string }

func newPage(r *run) (*page, error) {
	p := &page{
		Status: r.status(), Done: r.summary != nil, Title: r.headline(), Lead: r.lead(),
		Policy: "default-src 'none'; style-src 'sha256-" + digest(styleSheet) + "'; base-uri 'none'; form-action 'none'",
		Style:  template.CSS(styleSheet),
		Tiles:  r.tiles(), Sets: r.setRows(), Facts: r.facts(),
		Answers: r.answerSets(), Excerpts: r.excerptViews(), Table: r.table(), Config: r.configText, Info: r.infoFacts(),
	}
	for i, f := range r.figures() {
		if f.empty() {
			continue
		}
		view, err := f.view(float64(r.done()), i < 2)
		if err != nil {
			return nil, fmt.Errorf("draw %s: %w", f.id, err)
		}
		if i < 2 {
			p.Main = append(p.Main, view)
		} else {
			p.More = append(p.More, view)
		}
		p.Smoothed = max(p.Smoothed, f.window())
	}
	return p, nil
}

// view draws a figure. A main one is drawn twice: text that can be read on a
// phone is too large beside a drawing as wide as a desk's screen.
func (f figure) view(steps float64, main bool) (figureView, error) {
	v := figureView{ID: f.id, Title: f.title, Unit: f.unit, About: f.about}
	for _, c := range f.curves {
		if c.first() < 0 {
			continue
		}
		class := "key-" + c.ink.class()
		if c.dashed {
			class += " dashed"
		}
		if f.stacked {
			class = "key-" + c.ink.beneath(layer1).class() + " layer"
		}
		v.Legend = append(v.Legend, legendView{class, c.name, c.change(f.format)})
		if c.spread != "" {
			v.Legend = append(v.Legend, legendView{"key-" + c.ink.beneath(band1).class() + " layer", c.spread, f.bounds(c)})
		}
	}
	sizes := []struct {
		size
		class string
		into  *template.HTML
	}{{size{360, 220}, "plot", &v.Narrow}}
	if main {
		sizes[0].class = "plot narrow"
		sizes = append(sizes, struct {
			size
			class string
			into  *template.HTML
		}{size{560, 280}, "plot wide", &v.Wide})
	}
	for _, s := range sizes {
		svg, err := f.draw(s.size, steps, s.class)
		if err != nil {
			return v, err
		}
		*s.into = template.HTML(svg) // of inline, which escapes what it is given
	}
	return v, nil
}

// bounds is a spread at its first and last step, where that is worth a word.
func (f figure) bounds(c curve) string {
	if !c.bounds {
		return ""
	}
	at := func(i int) string { return f.format(c.lower[i]) + " to " + f.format(c.upper[i]) }
	first, last := c.first(), c.last()
	if first == last {
		return at(first)
	}
	return at(first) + " → " + at(last)
}

func (p *page) write(w io.Writer) error {
	t, err := template.New("page").Parse(pageText)
	if err == nil {
		err = t.Execute(w, p)
	}
	if err != nil {
		return fmt.Errorf("report: write the page: %w", err)
	}
	return nil
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}
