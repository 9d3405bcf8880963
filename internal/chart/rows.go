package chart

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/justrl/justrl/internal/numerals"
)

// Rows is a diagram of values in named rows, each with its range: one group of
// rows a name, from top to bottom, and in a group one row a series.
type Rows struct {
	ID, Title, Unit string
	About           string
	Format          numerals.Format // of the values in words
	Low, High       float64         // of the axis; equal: from 0 to a round number above all
	Series          []Series
	Groups          []Group
}

// Series is what a legend has an entry for.
type Series struct {
	Name   string
	Ink    Ink
	Hollow bool // others' values: a ring
}

// Group has at most one value for each series.
type Group struct {
	Name   string
	Values []Value
}

// Value is a point in a group, with a range around it. What is not finite is
// not drawn.
type Value struct {
	Series     int
	At         float64
	Low, High  float64 // a thick line; equal: none
	Least      float64 // a thin line beyond the thick one …
	Most       float64 // … to here; equal: none
	Annotation string  // what the range is, in words, for those who do not see it
}

// The sizes of rows, in pixels.
const (
	rowHeight   = 10
	groupGap    = 10
	axisHeight  = 22
	leastHeight = 120
	longestName = 22 // characters of a group's name
)

// Empty: there is nothing to draw.
func (d Rows) Empty() bool {
	for _, g := range d.Groups {
		for _, v := range g.Values {
			if numerals.Finite(v.At) {
				return false
			}
		}
	}
	return true
}

// View draws the rows; a main one twice, for a phone and for a desk.
func (d Rows) View(main bool) (View, error) {
	v := View{ID: d.ID, Title: d.Title, Unit: d.Unit, About: d.About}
	for _, s := range d.Series {
		class := "key-" + s.Ink.Class() + " dot"
		if s.Hollow {
			class += " hollow"
		}
		v.Legend = append(v.Legend, Key{Class: class, Name: s.Name})
	}
	height := vg.Length(axisHeight)
	for _, g := range d.Groups {
		height += g.height()
	}
	height = max(height, leastHeight) // few rows are set wider apart
	return v, v.drawn(d.draw, Size{360, height}, Size{760, height}, main)
}

func (g Group) height() vg.Length { return vg.Length(max(2, len(g.Values)))*rowHeight + groupGap }

// draw returns the rows as an SVG element of an HTML page.
func (d Rows) draw(s Size, class string) (string, error) {
	p := plot.New()
	p.BackgroundColor = nil
	plain(p)
	p.X.Width, p.X.Tick.Length = 0, 0
	p.Y.Width, p.Y.Padding = 0, 8
	low, high := d.limits()
	p.X.Min, p.X.Max = low, high
	step := roundStep((high - low) / 5)
	p.X.Tick.Marker = ticks{step: step, count: 5}
	total := 0.0
	for _, g := range d.Groups {
		total += float64(g.height())
	}
	p.Y.Min, p.Y.Max = 0, max(1, total)
	var names plot.ConstantTicks
	at := total
	for _, g := range d.Groups {
		at -= float64(g.height()) / 2
		names = append(names, plot.Tick{Value: at, Label: cut(g.Name, longestName)})
		at -= float64(g.height()) / 2
	}
	p.Y.Tick.Marker = names
	p.Add(columns{}, ranges{d, total})
	canvas := vgsvg.NewWith(vgsvg.UseWH(s.Width, s.Height))
	p.Draw(draw.New(canvas))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return "", err
	}
	return inline(svg.Bytes(), class, d.words())
}

func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// limits are those of the axis.
func (d Rows) limits() (low, high float64) {
	if d.Low != d.High {
		return d.Low, d.High
	}
	for _, g := range d.Groups {
		for _, v := range g.Values {
			for _, x := range []float64{v.At, v.High, v.Most} {
				if numerals.Finite(x) {
					high = max(high, x)
				}
			}
		}
	}
	if high < 1e-290 { // so near to 0 that its parts cannot be told apart
		return 0, 1
	}
	step := roundStep(high / 5)
	return 0, math.Ceil(high/step-1e-9) * step
}

// words says what the rows show to those who do not see them.
func (d Rows) words() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s.", d.Title, d.Unit)
	for _, g := range d.Groups {
		fmt.Fprintf(&b, " %s:", g.Name)
		separator := " "
		for _, v := range g.Values {
			if !numerals.Finite(v.At) {
				continue
			}
			fmt.Fprintf(&b, "%s%s %s", separator, d.Series[v.Series].Name, d.Format(v.At))
			if v.Low != v.High && numerals.Finite(v.Low) && numerals.Finite(v.High) {
				fmt.Fprintf(&b, " (%s%s to %s)", v.Annotation, d.Format(v.Low), d.Format(v.High))
			}
			separator = ", "
		}
		b.WriteByte('.')
	}
	return b.String()
}

// columns draws a thin line up the plot at each mark of the horizontal axis.
type columns struct{}

// Plot implements plot.Plotter.
func (columns) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	style := draw.LineStyle{Color: inkGrid.placeholder(), Width: 1}
	for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		if t.Value >= p.X.Min && t.Value <= p.X.Max {
			c.StrokeLine2(style, x(t.Value), c.Min.Y, x(t.Value), c.Max.Y)
		}
	}
}

// ranges draws the values, from the top down.
type ranges struct {
	Rows
	top float64
}

// Plot implements plot.Plotter.
func (r ranges) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	x := func(v float64) vg.Length { return toX(min(max(v, p.X.Min), p.X.Max)) }
	line := func(from, to float64, y, width vg.Length, i Ink) {
		if numerals.Finite(from) && numerals.Finite(to) && from != to {
			c.StrokeLine2(draw.LineStyle{Color: i.placeholder(), Width: width}, x(from), y, x(to), y)
		}
	}
	at := r.top
	for _, g := range r.Groups {
		middle := at - float64(g.height())/2
		for i, v := range g.Values {
			if !numerals.Finite(v.At) {
				continue
			}
			s := r.Series[v.Series]
			y := toY(middle + (float64(len(g.Values)-1)/2-float64(i))*rowHeight)
			line(v.Least, v.Most, y, 1, s.Ink)
			line(v.Low, v.High, y, 2.5, s.Ink)
			point := vg.Point{X: x(v.At), Y: y}
			if s.Hollow {
				ring(c, point, s.Ink)
			} else {
				disc{}.DrawGlyph(&c, draw.GlyphStyle{Color: s.Ink.placeholder(), Radius: 3.75}, point)
			}
		}
		at -= float64(g.height())
	}
}

func ring(c draw.Canvas, at vg.Point, i Ink) {
	var path vg.Path
	const radius = 3.25
	path.Move(vg.Point{X: at.X + radius, Y: at.Y})
	path.Arc(at, radius, 0, 2*math.Pi)
	path.Close()
	c.SetLineStyle(draw.LineStyle{Color: i.placeholder(), Width: 1.5})
	c.Stroke(path)
}

// plain takes from a plot's axes whatever the page decides itself.
func plain(p *plot.Plot) {
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Color = inkAxis.placeholder()
		a.Width = 1
		a.Padding = 0
		a.Tick.Length = 0
		a.Tick.Width = 0
		a.Tick.Color = inkAxis.placeholder()
		a.Tick.Label.Color = inkText.placeholder()
		a.Tick.Label.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: letters}
		a.Label.TextStyle.Color = inkText.placeholder()
		a.Label.TextStyle.Font = a.Tick.Label.Font
	}
}
