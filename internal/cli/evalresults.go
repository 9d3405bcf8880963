package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/grade"
	"github.com/justrl/justrl/benchmarks/metrics"
)

// evalTemplate is what was found under one prompt template. Its folder has the
// files that justrl grade --generations would leave there.
type evalTemplate struct {
	Template string       `json:"template"`
	Average  float64      `json:"average"` // of its sets' mean scores
	Results  []gradedFile `json:"results"`
	dir      string
}

// evalSpread is what one set's avg@k comes to under several templates.
type evalSpread struct {
	Set  string  `json:"set"`
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
	SD   float64 `json:"sd"` // over the templates, n - 1
}

// evalReport is all that an evaluation found.
type evalReport struct {
	Out       string            `json:"out"`
	Model     string            `json:"model"`
	Templates []evalTemplate    `json:"templates"`
	Spread    []evalSpread      `json:"spread,omitempty"`
	Found     evaluate.Findings `json:"found"`
	Grading   map[string]any    `json:"grading"`
}

// finishEval turns verdicts into figures, and writes both.
func finishEval(results []evaluate.Result, record evaluate.Record, by gradedBy, out string, notice func(string, ...any)) (evalReport, error) {
	report := evalReport{Out: out, Model: record.Model, Found: record.Found, Grading: record.Grading}
	scores := map[string][]float64{} // of a set, by template
	for _, r := range results {
		tpl := r.Cell.Template
		if n := len(report.Templates); n == 0 || report.Templates[n-1].Template != tpl.Title() {
			report.Templates = append(report.Templates, evalTemplate{Template: tpl.Title(), dir: filepath.Join(out, tpl.Name)})
		}
		of := &report.Templates[len(report.Templates)-1]
		f, err := summarize(of.dir, r, record.Sampling)
		if err == nil {
			err = f.judged(filepath.Join(of.dir, f.File), notice)
		}
		if err != nil {
			return report, err
		}
		f.Grader = by
		of.Results = append(of.Results, f)
		scores[r.Cell.Set] = append(scores[r.Cell.Set], f.MeanScore)
	}
	for i := range report.Templates {
		t := &report.Templates[i]
		for _, f := range t.Results {
			t.Average += f.MeanScore / float64(len(t.Results))
		}
		if err := writeGraded(t.dir, t.Results); err != nil {
			return report, err
		}
	}
	for _, r := range results[:len(results)/max(len(report.Templates), 1)] { // each set once
		if s := scores[r.Cell.Set]; len(s) > 1 {
			mean, sd := stat.MeanStdDev(s, nil)
			report.Spread = append(report.Spread, evalSpread{r.Cell.Set, slices.Min(s), slices.Max(s), mean, sd})
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	record.Finished = &now
	record.Measured = maps.Clone(record.Measured)
	if record.Measured == nil {
		record.Measured = map[string]evaluate.SetSettings{}
	}
	for _, r := range results {
		record.Measured[r.Cell.Set] = record.Sets[r.Cell.Set]
	}
	return report, record.Write(out)
}

// summarize reads a cell's answers again, problem by problem, for what the
// verdicts do not say of them.
func summarize(dir string, r evaluate.Result, s evaluate.Sampling) (f gradedFile, err error) {
	f.Hyperparameters, err = generations.NewName(r.Cell.Set, s.Temperature, s.TopP, r.Cell.N, s.MaxTokens)
	if err != nil {
		return f, err
	}
	f.File = f.Hyperparameters.File()
	index, err := generations.OpenIndex(filepath.Join(dir, f.File))
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, index.Close()) }()
	verdicts := map[int][]benchmarks.Verdict{}
	for _, v := range r.Verdicts {
		verdicts[v.ExampleID] = append(verdicts[v.ExampleID], v)
	}
	f.graded = &grade.Graded{Verdicts: make([]benchmarks.Verdict, index.Count), Lines: make([]int, index.Count)}
	var grams metrics.Distinct
	for _, p := range index.Problems {
		of := verdicts[p.ID]
		if len(of) != len(p.Samples) {
			return f, fmt.Errorf("%s: problem %d has %d answers, %d were graded: was it changed meanwhile?", index.Path, p.ID, len(p.Samples), len(of))
		}
		row := metrics.Problem{ID: p.ID}
		grams.Reset()
		for i, at := range p.Samples {
			g, err := index.Read(p, at)
			if err != nil {
				return f, err
			}
			if of[i].Seed != g.Seed || of[i].Sample != i {
				return f, fmt.Errorf("%s: problem %d has other answers than were graded", index.Path, p.ID)
			}
			grams.Add(g.Response)
			row.Answers = append(row.Answers, metrics.NewAnswer(g, of[i]))
			f.graded.Verdicts[at.Ordinal], f.graded.Lines[at.Ordinal] = of[i], at.Number
		}
		row.Distinct4 = grams.Share()
		f.graded.Problems = append(f.graded.Problems, row)
	}
	f.Results, err = metrics.Compute(f.graded.Problems, uint64(s.Seed))
	return f, err
}

// printEval prints the tables, or all as JSON.
func printEval(w io.Writer, r evalReport, asJSON bool) error {
	if asJSON {
		return encodeIndented(w, r)
	}
	for _, t := range r.Templates {
		if len(r.Templates) > 1 {
			if _, err := fmt.Fprintf(w, "prompt template %s\n", t.Template); err != nil {
				return err
			}
		}
		if err := resultsTable(t.Results).Text(w); err != nil {
			return err
		}
	}
	for _, s := range r.Spread {
		if _, err := fmt.Fprintf(w, "%s over %d templates: %.2f to %.2f %%, mean %.2f, sd %.2f\n", s.Set, len(r.Templates), 100*s.Min, 100*s.Max, 100*s.Mean, 100*s.SD); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "written to %s\n", r.Out)
	return err
}
