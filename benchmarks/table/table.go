// Package table writes results as a table: for a terminal, as Markdown, as CSV.
package table

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"gonum.org/v1/gonum/stat"

	"github.com/justrl/justrl/benchmarks/metrics"
)

// Table is a header and rows of as many cells. The first Words columns (none is
// one) are text and stand left, the others are figures and stand right.
type Table struct {
	Header []string
	Rows   [][]string
	Words  int
}

// Row is what a table of results has a line for.
type Row struct {
	Name string // of the set or cell
	// Model, if any row has one, gets a column of its own, and each its own mean.
	Model string
	// Published is a mean_score that others measured, of which nothing else is
	// known; Results do not count then.
	Published *float64
	metrics.Results
}

// Of is the table of results, one row each. Where several have been measured,
// the last row is the plain mean of their mean_scores, as the paper's "avg";
// of several models each has one.
func Of(rows []Row) Table {
	t := Table{Header: []string{"set", "problems", "n", "avg@n %", "95 %", "pass@n %", "maj@n %", "none", "all", "4-gram", "tokens", "cut %", "no box", "by rule", "by judge", "errors"}, Words: 1}
	named := slices.ContainsFunc(rows, func(r Row) bool { return r.Model != "" })
	add := func(model string, cells []string) {
		if named {
			cells = slices.Insert(cells, 1, model)
		}
		t.Rows = append(t.Rows, cells)
	}
	scores := map[string][]float64{}
	var models []string
	for _, r := range rows {
		cells, score := r.cells(len(t.Header))
		add(r.Model, cells)
		if scores[r.Model] == nil {
			models = append(models, r.Model)
		}
		scores[r.Model] = append(scores[r.Model], score)
	}
	for _, model := range models {
		if s := scores[model]; len(s) > 1 {
			mean := make([]string, len(t.Header))
			mean[0], mean[3] = "mean", percent(stat.Mean(s, nil))
			add(model, mean)
		}
	}
	if named {
		t.Header, t.Words = slices.Insert(t.Header, 1, "model"), 2
	}
	return t
}

// cells are those of a row, and the score that goes into a mean.
func (r Row) cells(width int) (cells []string, score float64) {
	if r.Published != nil {
		cells = make([]string, width)
		cells[0], cells[3] = r.Name, percent(*r.Published)
		return cells, *r.Published
	}
	n := fmt.Sprint(r.SamplesMin)
	if r.SamplesMax > r.SamplesMin {
		n = fmt.Sprintf("%d-%d", r.SamplesMin, r.SamplesMax)
	}
	cut := "-"
	if r.Truncated != nil {
		cut = percent(*r.Truncated)
	}
	tokens := "-"
	if r.Tokens != nil {
		tokens = fmt.Sprintf("%.0f", r.Tokens.Mean)
	}
	return []string{
		r.Name, fmt.Sprint(r.Problems), n, percent(r.MeanScore), percent(r.MeanScore95[0]) + "-" + percent(r.MeanScore95[1]),
		last(r.PassAtK), last(r.MajorityAtK), fmt.Sprint(r.SolveNone), fmt.Sprint(r.SolveAll), fmt.Sprintf("%.3f", r.Distinct4Gram), tokens, cut,
		fmt.Sprint(r.FormatErrorRollouts), fmt.Sprint(r.Verdicts.RuleCorrect), fmt.Sprint(r.Verdicts.JudgeCorrect), fmt.Sprint(r.Verdicts.Errors),
	}, r.MeanScore
}

func percent(x float64) string { return fmt.Sprintf("%.2f", 100*x) }

// last is the figure of the largest k.
func last(of []metrics.AtK) string {
	if len(of) == 0 {
		return "-"
	}
	return percent(of[len(of)-1].Mean)
}

// Text writes columns that a fixed-width font lines up.
func (t Table) Text(w io.Writer) error {
	width := make([]int, len(t.Header))
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				line.WriteString("  ")
			}
			if i < max(1, t.Words) {
				line.WriteString(cell + pad)
			} else {
				line.WriteString(pad + cell)
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// Markdown writes a table of GitHub's flavour.
func (t Table) Markdown(w io.Writer) error {
	escape := strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ")
	line := func(cells []string) string {
		out := "|"
		for _, c := range cells {
			out += " " + escape.Replace(c) + " |"
		}
		return out + "\n"
	}
	words := max(1, t.Words)
	rule := strings.Repeat("|---", words) + strings.Repeat("|--:", len(t.Header)-words) + "|\n"
	text := line(t.Header) + rule
	for _, row := range t.Rows {
		text += line(row)
	}
	_, err := io.WriteString(w, text)
	return err
}

// CSV writes the cells as they are.
func (t Table) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	if err := c.Write(t.Header); err != nil {
		return err
	}
	return c.WriteAll(t.Rows)
}
