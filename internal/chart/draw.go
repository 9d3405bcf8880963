package chart

import (
	"bytes"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/justrl/justrl/internal/numerals"
)

// Size is that of a drawing, in the pixels of a page that shows it unscaled.
type Size struct{ Width, Height vg.Length }

// letters is the size of the text in a drawing. Its font has the widths of
// Arial, which the style sheet asks for: what is aligned here is aligned there.
const letters = 11

// draw returns the figure as an SVG element of an HTML page.
func (f Figure) draw(s Size, class string) (string, error) {
	p := plot.New()
	p.BackgroundColor = nil
	f.axes(p)
	p.Add(rules{})
	if f.Stacked {
		f.addLayers(p)
	} else {
		f.addCurves(p)
	}
	f.limits(p)
	canvas := vgsvg.NewWith(vgsvg.UseWH(s.Width, s.Height))
	p.Draw(draw.New(canvas))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return "", err
	}
	return inline(svg.Bytes(), class, f.words())
}

// axes sets how they look and what they mark.
func (f Figure) axes(p *plot.Plot) {
	plain(p)
	p.X.Label.Text = f.X
	p.X.Label.Padding = 2
	p.X.Tick.Length = 4
	p.X.Tick.Width = 1
	p.X.Tick.Marker = ticks{count: 6, whole: true}
	p.Y.Width = 0
	p.Y.Padding = 5
}

// limits sets the axes' ranges when all the data are in.
func (f Figure) limits(p *plot.Plot) {
	p.X.Min, p.X.Max = f.XMin, max(f.XMin+1, f.XMax)
	low, high := p.Y.Min, p.Y.Max
	switch {
	case f.Fixed:
		low, high = f.Low, f.High
	case f.Log:
		low, high = math.Floor(low+1e-9), math.Ceil(high-1e-9)
	case f.Zero && low >= 0:
		low = 0
	}
	if !numerals.Finite(low) || !numerals.Finite(high) {
		low, high = 0, 1
	}
	if low == high { // one value, or always the same
		switch {
		case f.Log:
			low, high = low-1, high+1
		case low == 0:
			high = 1
		default:
			low, high = low-math.Abs(low)/2, high+math.Abs(high)/2
		}
	}
	step := roundStep((high - low) / 4)
	if step > 0 && !f.Fixed && !f.Log { // to the marks around them
		low, high = math.Floor(low/step+1e-9)*step, math.Ceil(high/step-1e-9)*step
	}
	p.Y.Min, p.Y.Max = low, high
	p.Y.Tick.Marker = ticks{step: step, count: 4}
	if f.Log {
		p.Y.Tick.Marker = powers{count: 5}
	}
}

// place turns a value into its height on the axis. What is so near to 0 that
// its neighbours cannot be told apart is 0.
func (f Figure) place(y float64) float64 {
	if math.Abs(y) < 1e-290 {
		y = 0
	}
	if !f.Log {
		return y
	}
	if y <= 0 {
		return math.NaN()
	}
	return math.Log10(y)
}

func (f Figure) placed(y []float64) []float64 {
	all := make([]float64, len(y))
	for i := range y {
		all[i] = f.place(y[i])
	}
	return all
}

func (f Figure) addCurves(p *plot.Plot) {
	for _, c := range f.Curves {
		if c.Upper != nil {
			addArea(p, c.X, f.placed(c.Lower), f.placed(c.Upper), c.Ink.beneath(band1))
		}
	}
	window := f.Window()
	for _, c := range f.Curves {
		y := f.placed(c.Y)
		if window > 0 && !c.Dots {
			addLine(p, c.X, y, c.Ink.beneath(pale1), 1, false)
			addLine(p, c.X, smooth(y, window), c.Ink, 1.75, c.Dashed)
			continue
		}
		addLine(p, c.X, y, c.Ink, 1.75, c.Dashed)
		addDots(p, c, y)
	}
}

// addLayers draws each curve as an area on top of those before it; what is
// missing counts as 0.
func (f Figure) addLayers(p *plot.Plot) {
	if len(f.Curves) == 0 {
		return
	}
	below := make([]float64, len(f.Curves[0].Y))
	for _, c := range f.Curves {
		y := f.placed(c.Y)
		if window := f.Window(); window > 0 {
			y = smooth(y, window)
		}
		top := make([]float64, len(below))
		for i := range top {
			top[i] = below[i]
			if numerals.Finite(y[i]) {
				top[i] += max(0, y[i])
			}
		}
		addArea(p, c.X, below, top, c.Ink.beneath(layer1))
		below = top
	}
}

// addLine adds a line for each stretch without gaps; a value alone is a dot.
func addLine(p *plot.Plot, x, y []float64, i Ink, width vg.Length, dashed bool) {
	for _, r := range runs(x, y) {
		if len(r) == 1 {
			p.Add(dots(r, i, width))
			continue
		}
		l := &plotter.Line{XYs: xys(r)}
		l.Color, l.Width = i.placeholder(), width
		if dashed {
			l.Dashes = []vg.Length{5, 3}
		}
		p.Add(l)
	}
}

// addDots marks the first and the last value, or all where there are few.
func addDots(p *plot.Plot, c Curve, y []float64) {
	var at []point
	for i := range y {
		if numerals.Finite(y[i]) && numerals.Finite(c.X[i]) && (c.Dots && len(y) <= 40 || i == c.First() || i == c.Last()) {
			at = append(at, point{c.X[i], y[i]})
		}
	}
	if len(at) > 0 {
		p.Add(dots(at, c.Ink, 2.75))
	}
}

// addArea fills what is between two curves.
func addArea(p *plot.Plot, x, lower, upper []float64, i Ink) {
	both := make([]float64, len(x)) // a gap where either is missing
	for j := range both {
		both[j] = lower[j] + upper[j]
	}
	from := 0
	for from < len(x) {
		if !numerals.Finite(both[from]) || !numerals.Finite(x[from]) {
			from++
			continue
		}
		to := from
		for to < len(x) && numerals.Finite(both[to]) && numerals.Finite(x[to]) {
			to++
		}
		outline := xys(thinned(x[from:to], upper[from:to]))
		bottom := thinned(x[from:to], lower[from:to])
		for k := len(bottom) - 1; k >= 0; k-- {
			outline = append(outline, plotter.XY{X: bottom[k].x, Y: bottom[k].y})
		}
		p.Add(&plotter.Polygon{XYs: []plotter.XYs{outline}, Color: i.placeholder()})
		from = to
	}
}

// thinned is a curve without gaps, thinned out if it is long.
func thinned(x, y []float64) []point {
	points := make([]point, len(x))
	for i := range x {
		points[i] = point{x[i], y[i]}
	}
	if len(points) > most {
		points = thin(points, most)
	}
	return points
}

func dots(at []point, i Ink, radius vg.Length) *plotter.Scatter {
	return &plotter.Scatter{XYs: xys(at), GlyphStyle: draw.GlyphStyle{Color: i.placeholder(), Radius: radius, Shape: disc{}}}
}

func xys(points []point) plotter.XYs {
	all := make(plotter.XYs, len(points))
	for i, p := range points {
		all[i] = plotter.XY{X: p.x, Y: p.y}
	}
	return all
}

// disc is a filled circle (the library's own leaves a corner in SVG).
type disc struct{}

// DrawGlyph implements draw.GlyphDrawer.
func (disc) DrawGlyph(c *draw.Canvas, s draw.GlyphStyle, at vg.Point) {
	var path vg.Path
	path.Move(vg.Point{X: at.X + s.Radius, Y: at.Y})
	path.Arc(at, s.Radius, 0, 2*math.Pi)
	path.Close()
	c.SetColor(s.Color)
	c.Fill(path)
}

// rules draws a thin line across the plot at each mark of the vertical axis.
type rules struct{}

// Plot implements plot.Plotter.
func (rules) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	style := draw.LineStyle{Color: inkGrid.placeholder(), Width: 1}
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if t.Value >= p.Y.Min && t.Value <= p.Y.Max {
			c.StrokeLine2(style, c.Min.X, y(t.Value), c.Max.X, y(t.Value))
		}
	}
}
