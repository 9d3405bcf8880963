package chart

import (
	"html/template"
	"slices"
)

// View is a diagram as a page shows it (webpage's template "figure").
type View struct {
	ID, Title, Unit, About string
	Legend                 []Key
	Wide, Narrow           template.HTML // Wide is empty where one drawing does for every screen
}

// Key is an entry under the title of a diagram: a class of the style sheet, a
// name, and what it amounts to, if that is worth a word.
type Key struct{ Class, Name, Change string }

// The sizes of a drawing: text that can be read on a phone is too large beside
// a drawing as wide as a desk's screen.
var (
	narrow = Size{360, 220}
	wide   = Size{560, 280}
)

// View draws a figure; a main one twice, for a phone and for a desk.
func (f Figure) View(main bool) (View, error) {
	v := View{ID: f.ID, Title: f.Title, Unit: f.Unit, About: f.About}
	var spreads []Key
	for _, c := range f.Curves {
		if c.First() < 0 {
			continue
		}
		class := "key-" + c.Ink.Class()
		if c.Dashed {
			class += " dashed"
		}
		if f.Stacked {
			class = "key-" + c.Ink.beneath(layer1).Class() + " layer"
		}
		v.Legend = append(v.Legend, Key{class, c.Name, c.Change(f.Format)})
		if c.Spread != "" {
			key := Key{"key-" + c.Ink.beneath(band1).Class() + " layer", c.Spread, f.bounds(c)}
			// What areas are that differ in nothing but their colour is said once.
			if !slices.ContainsFunc(spreads, func(o Key) bool { return o.Name == key.Name && o.Change == key.Change }) {
				spreads = append(spreads, key)
			}
		}
	}
	v.Legend = append(v.Legend, spreads...)
	return v, v.drawn(f.draw, narrow, wide, main)
}

// drawn fills the view with one drawing, or two.
func (v *View) drawn(draw func(s Size, class string) (string, error), narrow, wide Size, main bool) error {
	class := "plot"
	if main {
		svg, err := draw(wide, "plot wide")
		if err != nil {
			return err
		}
		v.Wide = template.HTML(svg) // of inline, which escapes what it is given
		class = "plot narrow"
	}
	svg, err := draw(narrow, class)
	v.Narrow = template.HTML(svg) // ditto
	return err
}

// bounds is a spread at its first and last step, where that is worth a word.
func (f Figure) bounds(c Curve) string {
	if !c.Bounds {
		return ""
	}
	at := func(i int) string { return f.Format(c.Lower[i]) + " to " + f.Format(c.Upper[i]) }
	first, last := c.First(), c.Last()
	if first == last {
		return at(first)
	}
	return at(first) + " → " + at(last)
}
