package webpagetest

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// allowed are the elements of every page and their attributes: nothing that runs
// or asks for anything.
var allowed = map[string]string{
	"html": "lang", "head": "", "meta": "charset http-equiv content name", "title": "", "style": "", "body": "", "header": "", "main": "",
	"section": "aria-labelledby", "h1": "", "h2": "id", "h3": "", "h4": "", "p": "class", "div": "class role aria-label tabindex",
	"dl": "class", "dt": "", "dd": "", "span": "class", "strong": "", "small": "", "b": "", "code": "", "mark": "", "ul": "class", "li": "",
	"figure": "id", "figcaption": "", "article": "class", "details": "", "summary": "", "table": "", "caption": "", "thead": "", "tbody": "",
	"tr": "", "th": "scope class", "td": "class", "svg": "viewBox class role aria-label", "g": "transform",
	"path": "d fill stroke-width stroke-dasharray stroke-dashoffset class", "text": "x y transform font-size class",
}

var (
	tag       = regexp.MustCompile(`^<(/?)([a-zA-Z0-9]+)((?:\s+[a-zA-Z-]+="[^"]*")*)\s*>`)
	attribute = regexp.MustCompile(`([a-zA-Z-]+)="`)
)

// WellFormed fails if there is anything in the page that the template did not
// put there: every < begins one of its elements, and each is closed. The page has
// the style sheet as it is; more are elements with their attributes that only
// this page has.
func WellFormed(t testing.TB, page, style string, more map[string]string) {
	t.Helper()
	page, ok := strings.CutPrefix(page, "<!DOCTYPE html>")
	if !ok {
		t.Fatal("no doctype")
	}
	page = strings.Replace(page, style, "", 1)
	var open []string
	for {
		i := strings.IndexByte(page, '<')
		if i < 0 {
			break
		}
		page = page[i:]
		m := tag.FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("not an element of the page: %.80q", page)
		}
		attributes, known := allowed[m[2]]
		if own, also := more[m[2]]; also {
			attributes, known = attributes+" "+own, true
		}
		if !known {
			t.Fatalf("not an element of the page: %.80q", page)
		}
		for _, a := range attribute.FindAllStringSubmatch(m[3], -1) {
			if !slices.Contains(strings.Fields(attributes), a[1]) {
				t.Fatalf("not an attribute of the page: %s in %.120q", a[1], m[0])
			}
		}
		switch {
		case m[2] == "meta":
		case m[1] == "":
			open = append(open, m[2])
		case len(open) == 0 || open[len(open)-1] != m[2]:
			t.Fatalf("</%s> closes one of %v", m[2], open)
		default:
			open = open[:len(open)-1]
		}
		page = page[len(m[0]):]
	}
	if len(open) > 0 {
		t.Fatalf("never closed: %v", open)
	}
}
