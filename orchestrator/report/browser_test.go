//go:build browser

package report

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/justrl/justrl/internal/webpage/webpagetest"
)

// The report as a reader has it: from a file, on a phone and on a desk, by day and by night.
func TestBrowser(t *testing.T) {
	for name, fill := range map[string]func(testing.TB, string){
		"small":   fixture,
		"hostile": hostile,
		"long": func(t testing.TB, dir string) {
			fixture(t, dir)
			write(t, dir, "config.yaml", fixtureConfig(t, 5000))
			write(t, dir, "steps.jsonl", lines(t, fixtureSteps(5000)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), name)
			fill(t, dir)
			look(t, dir)
		})
	}
	// A run of one's own, to look at it: REPORT_RUN=DIR REPORT_SCREENSHOTS=DIR.
	if dir := os.Getenv("REPORT_RUN"); dir != "" {
		t.Run("named", func(t *testing.T) { look(t, dir) })
	}
}

// look opens a run's report in every width and scheme.
func look(t *testing.T, dir string) {
	file := filepath.Join(t.TempDir(), "a report.html")
	if err := To(dir, file); err != nil {
		t.Fatal(err)
	}
	webpagetest.Look(t, webpagetest.Page{File: file, Screenshots: filepath.Base(dir), Plots: 10, Twice: true})
}
