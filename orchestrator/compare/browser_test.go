//go:build browser

package compare

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/justrl/justrl/internal/webpage/webpagetest"
)

// The comparison as a reader has it: from a file, on a phone and on a desk, by day and by night.
func TestBrowser(t *testing.T) {
	dirs := twoRecipes(t, t.TempDir())
	// Runs of one's own, to look at them: COMPARE_RUNS=DIR:DIR.
	if own := filepath.SplitList(os.Getenv("COMPARE_RUNS")); len(own) > 0 {
		dirs = own
	}
	c, err := Read(dirs)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "compared.html")
	if err := c.To(file); err != nil {
		t.Fatal(err)
	}
	webpagetest.Look(t, webpagetest.Page{File: file, Screenshots: "compare", Plots: 8, Twice: true})
}
