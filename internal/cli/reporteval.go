package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/report"
	"github.com/justrl/justrl/benchmarks/sets"
)

// reportEvaluations writes the results of evaluations to every --out, in the
// format of its ending, and prints them.
func reportEvaluations(c *cli.Context, dirs []string) error {
	paths := c.StringSlice("out")
	if len(paths) == 0 {
		if len(dirs) > 1 {
			return usagef("report of %q: --out FILE.html is needed where there are several evaluations; see justrl report --help", dirs)
		}
		paths = []string{filepath.Join(dirs[0], report.Name)}
	}
	for _, path := range paths {
		if _, ok := endings()[strings.ToLower(filepath.Ext(path))]; !ok {
			return usagef("--out %s: its ending says the format: .html, .md, .csv or .json", path)
		}
	}
	answers := c.StringSlice("generations")
	if n := len(answers); n > 0 && n != len(dirs) {
		return usagef("--generations stands %d times, for %d evaluations: once for each of them, in their order", n, len(dirs))
	}
	r, err := report.Open(dirs, report.Options{Generations: answers, Problems: problemsAtHand(c), Seed: c.Uint64("seed")})
	if errors.Is(err, report.ErrNotEvaluation) {
		return fmt.Errorf("%w; no run either: it has no run.json", err)
	}
	if err != nil {
		return err
	}
	for _, line := range r.Growing {
		_, _ = fmt.Fprintln(c.App.ErrWriter, line) // the results are none the worse for it
	}
	for _, path := range paths {
		if err := endings()[strings.ToLower(filepath.Ext(path))](r, path); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return r.JSON(c.App.Writer)
	}
	if err := r.Table().Text(c.App.Writer); err != nil {
		return err
	}
	for _, path := range paths {
		if err := wrote(c, path); err != nil {
			return err
		}
	}
	return nil
}

// endings are the formats of a report, by the ending of a file's name.
func endings() map[string]func(r *report.Report, path string) error {
	return map[string]func(r *report.Report, path string) error{
		".html": func(r *report.Report, path string) error { _, err := r.File(path); return err },
		".md":   func(r *report.Report, path string) error { return writeFile(path, r.Table().Markdown) },
		".csv":  func(r *report.Report, path string) error { return writeFile(path, r.Table().CSV) },
		".json": func(r *report.Report, path string) error { return writeFile(path, r.JSON) },
	}
}

// problemsAtHand reads sets whose files are there. None is fetched: a report is
// as good without the columns.
func problemsAtHand(c *cli.Context) func(set string) ([]benchmarks.Problem, error) {
	store := sets.Store{Dir: c.String("data-dir")}
	return func(name string) ([]benchmarks.Problem, error) {
		set, err := sets.Lookup(name)
		if err != nil {
			return nil, nil // one of the user's own
		}
		problems, err := store.Load(c.Context, set)
		var missing *sets.MissingError
		if errors.As(err, &missing) {
			return nil, nil
		}
		return problems, err
	}
}
