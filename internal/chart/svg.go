package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
)

// inline makes of a drawn plot an element for an HTML page: inks become
// Classes, style attributes (which the page's policy forbids) become
// presentation attributes, fonts and sizes are left to the style sheet, and
// label says to those who do not see it what it shows. Anything that it does not
// expect of the plot library is an error, not a black plot on a black page.
func inline(svg []byte, class, label string) (string, error) {
	var out strings.Builder
	decoder := xml.NewDecoder(bytes.NewReader(svg))
	for {
		t, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return out.String(), nil
		}
		if err != nil {
			return "", fmt.Errorf("the plot's SVG: %w", err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			attributes, err := translate(t)
			if err != nil {
				return "", fmt.Errorf("the plot's SVG: <%s>: %w", t.Name.Local, err)
			}
			if t.Name.Local == "svg" {
				attributes = append(attributes, [2]string{"class", class}, [2]string{"role", "img"}, [2]string{"aria-label", label})
			}
			out.WriteString("<" + t.Name.Local)
			for _, a := range attributes {
				fmt.Fprintf(&out, ` %s="%s"`, a[0], html.EscapeString(a[1]))
			}
			out.WriteByte('>')
		case xml.EndElement:
			out.WriteString("</" + t.Name.Local + ">")
		case xml.CharData:
			out.WriteString(html.EscapeString(strings.TrimSpace(string(t))))
		}
	}
}

// translate returns an element's attributes as the page wants them.
func translate(e xml.StartElement) ([][2]string, error) {
	if !slices.Contains([]string{"svg", "g", "path", "text"}, e.Name.Local) {
		return nil, errors.New("an element that is not known")
	}
	var kept [][2]string
	style := ""
	for _, a := range e.Attr {
		switch a.Name.Local {
		case "style":
			style = a.Value
		case "viewBox", "transform", "d", "x", "y":
			kept = append(kept, [2]string{a.Name.Local, a.Value})
		case "width", "height", "xmlns", "xlink": // the page decides
		default:
			return nil, fmt.Errorf("an attribute that is not known: %s", a.Name.Local)
		}
	}
	if e.Name.Local == "path" || e.Name.Local == "text" {
		more, err := presentation(style)
		if err != nil {
			return nil, err
		}
		kept = append(kept, more...)
	}
	return kept, nil
}

// presentation turns a style attribute's declarations into attributes.
func presentation(style string) ([][2]string, error) {
	var kept [][2]string
	var classes []string
	filled := false // nothing said is black
	for declaration := range strings.SplitSeq(style, ";") {
		property, value, ok := strings.Cut(declaration, ":")
		if !ok {
			return nil, fmt.Errorf("no declaration: %q", declaration)
		}
		property, value = strings.TrimSpace(property), strings.TrimSpace(value)
		switch property {
		case "fill", "stroke":
			filled = filled || property == "fill"
			if value == "none" {
				kept = append(kept, [2]string{property, value})
				continue
			}
			i, err := inkOf(value)
			if err != nil {
				return nil, err
			}
			classes = append(classes, property+"-"+i.Class())
		case "stroke-width", "stroke-dasharray", "stroke-dashoffset", "font-size":
			kept = append(kept, [2]string{property, value})
		case "font-family", "font-variant", "font-weight", "font-style":
		default:
			return nil, fmt.Errorf("a property that is not known: %s", property)
		}
	}
	if !filled {
		return nil, errors.New("it is filled with no ink")
	}
	if len(classes) > 0 {
		kept = append(kept, [2]string{"class", strings.Join(classes, " ")})
	}
	return kept, nil
}
