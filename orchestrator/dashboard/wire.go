package dashboard

import (
	"encoding/json"
	"strconv"

	"github.com/justrl/justrl/internal/chart"
	"github.com/justrl/justrl/internal/numerals"
	"github.com/justrl/justrl/orchestrator/report"
)

// figure is the head of a chart.Figure for assets/charts.js.
type figure struct {
	ID     string  `json:"id"`
	Title  string  `json:"title"`
	Unit   string  `json:"unit"`
	About  string  `json:"about"`
	Format string  `json:"format"` // of its numbers: plain, reward, percent or seconds
	Fixed  bool    `json:"fixed"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Zero   bool    `json:"zero"`
	Log    bool    `json:"log"`
	Stack  bool    `json:"stacked"`
}

// curve is the head of a chart.Curve.
type curve struct {
	Name   string `json:"name"`
	Ink    string `json:"ink"`
	Dashed bool   `json:"dashed"`
	Dots   bool   `json:"dots"` // whole, with places of its own
	Spread string `json:"spread"`
}

// encodeCurves writes numbers with six digits, more than a screen shows, and null
// for a gap; a list of gaps is null. 5,000 steps are less than 2 MB.
func encodeCurves(instance string, c report.Curves) []byte {
	b := append([]byte(`{"instance":`), quote(instance)...)
	b = append(b, `,"from":`...)
	b = strconv.AppendInt(b, int64(c.From), 10)
	b = append(b, `,"to":`...)
	b = strconv.AppendInt(b, int64(c.To), 10)
	b = append(b, `,"planned":`...)
	b = strconv.AppendInt(b, int64(c.Planned), 10)
	b = append(b, `,"x":`...)
	b = appendNumbers(b, c.Done)
	b = append(b, `,"axes":[`...)
	for i, a := range c.Axes {
		b = separated(b, i)
		b = appendFields(b, struct {
			ID   string `json:"id"`
			Name string `json:"name"`
			Unit string `json:"unit"`
		}{a.ID, a.Name, a.Unit})
		b = appendList(b, "each", a.Each)
		b = append(b, '}')
	}
	b = append(b, `],"figures":[`...)
	for i, f := range c.Figures {
		b = appendFigure(separated(b, i), f)
	}
	return append(b, "]}\n"...)
}

func appendFigure(b []byte, f chart.Figure) []byte {
	b = appendFields(b, figure{f.ID, f.Title, f.Unit, f.About, notation(f.Format), f.Fixed, f.Low, f.High, f.Zero, f.Log, f.Stacked})
	b = append(b, `,"curves":[`...)
	for i, c := range f.Curves {
		b = appendFields(separated(b, i), curve{c.Name, c.Ink.Class(), c.Dashed, c.Dots, c.Spread})
		if c.Dots {
			b = appendList(b, "x", c.X)
		}
		b = appendList(b, "y", c.Y)
		if c.Upper != nil {
			b = appendList(appendList(b, "lower", c.Lower), "upper", c.Upper)
		}
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// appendFields writes an object without its end.
func appendFields(b []byte, head any) []byte {
	o, err := json.Marshal(head)
	if err != nil { // a bound of a figure that is no number: the page draws none
		o = []byte("{}")
	}
	return append(b, o[:len(o)-1]...)
}

func appendList(b []byte, key string, y []float64) []byte {
	b = append(append(append(b, `,"`...), key...), `":`...)
	return appendNumbers(b, y)
}

func appendNumbers(b []byte, y []float64) []byte {
	start, any := len(b), false
	b = append(b, '[')
	for i, v := range y {
		b = separated(b, i)
		if !numerals.Finite(v) {
			b = append(b, "null"...)
			continue
		}
		any = true
		b = strconv.AppendFloat(b, v, 'g', 6, 64)
	}
	if !any {
		return append(b[:start], "null"...)
	}
	return append(b, ']')
}

func separated(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

func quote(s string) []byte {
	b, _ := json.Marshal(s) // a string always can be
	return b
}

// notation is the name of a figure's format: a browser is sent numbers, and
// writes them itself.
func notation(f numerals.Format) string {
	const probe = 0.5
	switch f(probe) {
	case numerals.Reward(probe):
		return "reward"
	case numerals.Percent(probe):
		return "percent"
	case numerals.Seconds(probe):
		return "seconds"
	default:
		return "plain"
	}
}
