package chart

import (
	"fmt"
	"html"
	"strings"
)

// What a drawing alone has instead of the pages' style sheet: dark on white.
var colours = []string{"#2a62b0", "#b3541e", "#24795a", "#7a4ba6", "#8a6d12", "#b03060"}

// SVG is the figure as a file of its own, with its title, its legend and colours:
// for documents that are no pages of ours. It has no intervals' legend.
func (f Figure) SVG() (string, error) {
	const line, margin = 20, 8
	drawing, err := f.draw(wide, "plot")
	if err != nil {
		return "", err
	}
	drawing = strings.Replace(drawing, "<svg ", fmt.Sprintf(`<svg x="0" y="%d" width="%g" height="%g" `, 2*line+margin, float64(wide.Width), float64(wide.Height)), 1)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="Arial, Helvetica, sans-serif">`, float64(wide.Width), float64(wide.Height)+2*line+margin)
	b.WriteString("<style>" + f.style() + "</style>")
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>`)
	fmt.Fprintf(&b, `<text x="%d" y="18" font-size="14" font-weight="bold">%s</text>`, margin, html.EscapeString(f.Title+", "+f.Unit))
	x := margin
	for _, c := range f.Curves {
		if c.First() < 0 {
			continue
		}
		fmt.Fprintf(&b, `<rect x="%d" y="31" width="14" height="3" class="fill-%s"/><text x="%d" y="37" font-size="12">%s</text>`, x, c.Ink.Class(), x+18, html.EscapeString(c.Name))
		x += 18 + 7*len(c.Name) + 14
	}
	b.WriteString(drawing + "</svg>\n")
	return b.String(), nil
}

func (f Figure) style() string {
	var b strings.Builder
	b.WriteString(".fill-text{fill:#565e68}.stroke-axis{stroke:#8a8f96}.stroke-grid{stroke:#e3e4df}")
	for i, c := range colours {
		fmt.Fprintf(&b, ".stroke-c%d{stroke:%s}.fill-c%d{fill:%s}.fill-band%d{fill:%s;fill-opacity:.16}", i+1, c, i+1, c, i+1, c)
		if i < 4 {
			fmt.Fprintf(&b, ".stroke-pale%d{stroke:%s;stroke-opacity:.3}.fill-layer%d{fill:%s;fill-opacity:.72}", i+1, c, i+1, c)
		}
	}
	return b.String()
}
