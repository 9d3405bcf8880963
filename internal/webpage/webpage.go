// Package webpage has what the HTML pages of reports share: their style sheet
// (light and dark, 360 pixels and up), their security policy, the templates of
// figures and of answers, and the cutting of long answers.
//
// A page needs nothing but itself: no network, no script, no font.
package webpage

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
)

// StyleSheet is what every page begins with; a page may add to it.
//
//go:embed style.css
var StyleSheet string

//go:embed parts.html
var parts string

// Parts is a new template with "head", what a page with the fields Title, Policy and
// Style has before its body, "figure", which shows a chart.View, and "spans", which
// shows a list of [Span]; a page parses its own text into it. The functions are
// those that the page's own text needs, if any.
func Parts(functions ...template.FuncMap) *template.Template {
	t := template.New("page")
	for _, f := range functions {
		t.Funcs(f)
	}
	template.Must(t.New("parts").Parse(parts))
	return t
}

// Policy is the Content-Security-Policy of a page whose one <style> element has
// this text: that, and nothing else.
func Policy(style string) string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}
