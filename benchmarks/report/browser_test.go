//go:build browser

package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/webpage/webpagetest"
)

// The report as a browser shows it, and a page of wrong answers.
func TestBrowser(t *testing.T) {
	for name, fill := range map[string]func(testing.TB, string) []string{"small": fixture, "hostile": hostile, "many": many} {
		t.Run(name, func(t *testing.T) { look(t, name, fill(t, t.TempDir())) })
	}
	// An evaluation of one's own, to look at it: REPORT_EVAL=DIR REPORT_SCREENSHOTS=DIR.
	if dirs := os.Getenv("REPORT_EVAL"); dirs != "" {
		t.Run("named", func(t *testing.T) { look(t, "named", strings.Split(dirs, ",")) })
	}
}

func look(t *testing.T, name string, dirs []string) {
	r, err := Open(dirs, Options{Problems: columns})
	if err != nil {
		t.Fatal(err)
	}
	if name == "small" {
		r.Vary(variations())
	}
	if name == "many" {
		r.limits = small()
	}
	out := t.TempDir()
	file := filepath.Join(out, "a report.html")
	if _, err := r.File(file); err != nil {
		t.Fatal(err)
	}
	webpagetest.Look(t, webpagetest.Page{File: file, Screenshots: name, Plots: 3, Twice: true})
	pages, err := filepath.Glob(filepath.Join(out, "a report-answers", "*.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages[:min(1, len(pages))] {
		webpagetest.Look(t, webpagetest.Page{File: p, Screenshots: name + "-answers"})
	}
}
