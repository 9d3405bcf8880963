package trials

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/justrl/justrl/internal/numerals"
)

// columns are the table's; a row is a recipe.
func (r *Results) columns() []string {
	all := []string{"recipe", "seeds", "steps", "response tokens", "trained tokens"}
	return append(all, r.names()...)
}

// names are the measures that any recipe has, in their order.
func (r *Results) names() []string {
	var all []string
	seen := map[string]bool{}
	for _, recipe := range r.Recipes {
		for _, m := range recipe.Measures {
			if !seen[m.Name] {
				seen[m.Name] = true
				all = append(all, m.Name)
			}
		}
	}
	return all
}

func (r *Results) rows() [][]string {
	var all [][]string
	for _, recipe := range r.Recipes {
		row := []string{recipe.Name, fmt.Sprint(len(recipe.Runs))}
		for _, of := range []func(*Run) float64{
			func(run *Run) float64 { return float64(run.Steps) },
			func(run *Run) float64 { return float64(run.Tokens) },
			func(run *Run) float64 { return float64(run.Trained) },
		} {
			row = append(row, spanOf(recipe.Runs, of))
		}
		for _, name := range r.names() {
			m := recipe.find(name)
			if m == nil {
				row = append(row, "")
				continue
			}
			row = append(row, m.show(m.First)+" → "+m.show(m.Last))
		}
		all = append(all, row)
	}
	return all
}

// spanOf is the mean of a count, to the thousand where it is large.
func spanOf(runs []*Run, of func(*Run) float64) string {
	mean := 0.0
	for _, run := range runs {
		mean += of(run) / float64(len(runs))
	}
	if mean >= 1e5 {
		return numerals.Count(int64(math.Round(mean/1000))) + " k"
	}
	return strings.TrimSuffix(numerals.Fixed(mean, 1), ".0")
}

// show is a mean with its standard deviation over the seeds.
func (m *Measure) show(s Stat) string {
	text := m.number(s.Mean)
	if s.N > 1 {
		text += " ± " + m.number(s.SD)
	}
	if m.share {
		text += " %"
	}
	return text
}

func (m *Measure) number(x float64) string {
	switch {
	case m.share:
		return decimals(100*x, 1)
	case math.Abs(x) >= 10:
		return decimals(x, 1)
	default:
		return decimals(x, 3)
	}
}

// decimals keeps zeros at the end: a table is read down its columns.
func decimals(x float64, n int) string {
	text := strconv.FormatFloat(x, 'f', n, 64)
	if strings.Trim(text, "-0.") == "" {
		text = strings.TrimPrefix(text, "-")
	}
	return numerals.Signed(text)
}

// Findings are what the differences to the first recipe allow to say, a sentence each.
func (r *Results) Findings() []string {
	var all []string
	for _, recipe := range r.Recipes {
		for i := range recipe.Measures {
			m := &recipe.Measures[i]
			d := m.Difference
			if d == nil {
				continue
			}
			unit := ""
			if m.share {
				unit = " points"
			}
			by := fmt.Sprintf("%s ± %s%s", m.number(math.Abs(d.Mean)), m.number(d.Half), unit)
			switch {
			case !d.Told():
				by = fmt.Sprintf("%s ± %s%s", m.number(d.Mean), m.number(d.Half), unit)
				all = append(all, fmt.Sprintf("%s: %s cannot be told from %s's (difference %s)", m.Name, recipe.Name, r.Recipes[0].Name, by))
			case d.Mean > 0:
				all = append(all, fmt.Sprintf("%s: %s is above %s by %s", m.Name, recipe.Name, r.Recipes[0].Name, by))
			default:
				all = append(all, fmt.Sprintf("%s: %s is below %s by %s", m.Name, recipe.Name, r.Recipes[0].Name, by))
			}
		}
	}
	return all
}

// About says how to read the table and the findings.
const About = "First → last, mean ± standard deviation over the seeds; figures of training are the first step's and the mean of the last 5. " +
	"Differences are taken within each seed, with 95 % intervals over the seeds (Student); of twenty such intervals one misses by chance."

// Text writes a table of a recipe's measures a row, and the findings.
func (r *Results) Text(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tab, strings.Join(r.columns(), "\t"))
	for _, row := range r.rows() {
		_, _ = fmt.Fprintln(tab, strings.Join(row, "\t"))
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", About); err != nil {
		return err
	}
	for _, f := range r.Findings() {
		if _, err := fmt.Fprintln(w, f); err != nil {
			return err
		}
	}
	return nil
}
