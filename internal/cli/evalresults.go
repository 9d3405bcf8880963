package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/evaluate"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/metrics"
	"github.com/justrl/justrl/internal/atomicdir"
	"github.com/justrl/justrl/sampler"
)

// Where an evaluation's results are, beside its answers: the official file, and
// the verdicts on each file of answers under the same name in a folder.
const (
	gradingResultsName = "grading_results.json"
	verdictsDir        = "verdicts"
)

// evalResult is a cell's entry in the results, in the official layout and more.
type evalResult struct {
	Hyperparameters generations.Name `json:"hyperparameters"`
	Set             string           `json:"set"`
	Template        string           `json:"template"`
	metrics.Results
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
	Out     string             `json:"out"`
	Model   string             `json:"model"`
	Results []evalResult       `json:"results"`
	Average map[string]float64 `json:"average"` // by template, over its sets
	Spread  []evalSpread       `json:"spread,omitempty"`
	Found   evaluate.Findings  `json:"found"`
	Grading map[string]any     `json:"grading"`
}

// finishEval turns verdicts into figures, and writes both.
func finishEval(results []evaluate.Result, record evaluate.Record, out string) (evalReport, error) {
	report := evalReport{Out: out, Model: record.Model, Average: map[string]float64{}, Found: record.Found, Grading: record.Grading}
	byTemplate := map[string][]evalResult{}
	for _, r := range results {
		name, err := generations.NewName(r.Cell.Set, record.Sampling.Temperature, record.Sampling.TopP, r.Cell.N, record.Sampling.MaxTokens)
		if err != nil {
			return report, err
		}
		dir := filepath.Join(out, r.Cell.Template.Name)
		problems, err := summarize(filepath.Join(dir, name.File()), r)
		if err != nil {
			return report, err
		}
		figures, err := metrics.Compute(problems, uint64(record.Sampling.Seed))
		if err != nil {
			return report, err
		}
		if err := writeVerdicts(filepath.Join(dir, verdictsDir), name.File(), r.Verdicts); err != nil {
			return report, err
		}
		one := evalResult{name, r.Cell.Set, r.Cell.Template.Title(), figures}
		report.Results = append(report.Results, one)
		byTemplate[r.Cell.Template.Name] = append(byTemplate[r.Cell.Template.Name], one)
	}
	for name, rs := range byTemplate {
		sum := 0.0
		for _, r := range rs {
			sum += r.MeanScore
		}
		report.Average[rs[0].Template] = sum / float64(len(rs))
		if err := writeResults(filepath.Join(out, name, gradingResultsName), rs); err != nil {
			return report, err
		}
	}
	report.Spread = spreads(report.Results)
	now := time.Now().UTC().Truncate(time.Second)
	record.Finished = &now
	return report, record.Write(out)
}

// summarize reads a cell's answers again, problem by problem, for what the
// verdicts do not say of them.
func summarize(path string, r evaluate.Result) (problems []metrics.Problem, err error) {
	index, err := generations.OpenIndex(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, index.Close()) }()
	verdicts := map[int][]benchmarks.Verdict{}
	for _, v := range r.Verdicts {
		verdicts[v.ExampleID] = append(verdicts[v.ExampleID], v)
	}
	var grams metrics.Distinct
	for _, p := range index.Problems {
		of := verdicts[p.ID]
		if len(of) != len(p.Samples) {
			return nil, fmt.Errorf("%s: problem %d has %d answers, %d were graded: was it changed meanwhile?", path, p.ID, len(p.Samples), len(of))
		}
		row := metrics.Problem{ID: p.ID}
		grams.Reset()
		for i, s := range p.Samples {
			g, err := index.Read(p, s)
			if err != nil {
				return nil, err
			}
			if of[i].Seed != g.Seed || of[i].Sample != i {
				return nil, fmt.Errorf("%s: problem %d has other answers than were graded", path, p.ID)
			}
			grams.Add(g.Response)
			row.Answers = append(row.Answers, metrics.NewAnswer(g, of[i], strings.HasPrefix(of[i].Error, sampler.ErrVerifyTimeout.Error())))
		}
		row.Distinct4 = grams.Share()
		problems = append(problems, row)
	}
	return problems, nil
}

func writeVerdicts(dir, name string, verdicts []benchmarks.Verdict) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return atomicdir.ReplaceFile(filepath.Join(dir, name), func(w io.Writer) error {
		enc := jsonLines(w)
		for _, v := range verdicts {
			if err := enc.Encode(v); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeResults puts results into a file, in the place of those of the same
// cells; others that it has stay.
func writeResults(path string, results []evalResult) error {
	var all []json.RawMessage
	switch b, err := os.ReadFile(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(b, &all); err != nil {
			return fmt.Errorf("%s: %w; remove it to have it written anew", path, err)
		}
	}
	all = slices.DeleteFunc(all, func(raw json.RawMessage) bool {
		var old struct {
			Hyperparameters generations.Name `json:"hyperparameters"`
		}
		return json.Unmarshal(raw, &old) != nil ||
			slices.ContainsFunc(results, func(r evalResult) bool { return r.Hyperparameters == old.Hyperparameters })
	})
	for _, r := range results {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		all = append(all, b)
	}
	return atomicdir.ReplaceFile(path, func(w io.Writer) error {
		enc := jsonLines(w)
		enc.SetIndent("", "    ")
		return enc.Encode(all)
	})
}

// spreads compares the templates, where there are several.
func spreads(results []evalResult) []evalSpread {
	var out []evalSpread
	scores := map[string][]float64{}
	var order []string
	for _, r := range results {
		if scores[r.Set] == nil {
			order = append(order, r.Set)
		}
		scores[r.Set] = append(scores[r.Set], r.MeanScore)
	}
	for _, set := range order {
		if s := scores[set]; len(s) > 1 {
			mean, sd := stat.MeanStdDev(s, nil)
			out = append(out, evalSpread{set, slices.Min(s), slices.Max(s), mean, sd})
		}
	}
	return out
}

// printEval prints the table, or all as JSON.
func printEval(w io.Writer, r evalReport, out string, asJSON bool) error {
	if asJSON {
		return jsonLines(w).Encode(r)
	}
	several := len(r.Average) > 1
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	cells := func(template string, rest ...string) string {
		if several {
			rest = slices.Insert(rest, 1, template)
		}
		return strings.Join(rest, "\t") + "\t\n"
	}
	text := cells("template", "set", "problems", "n", "avg@n %", "95 %", "pass@n %", "none", "all", "tokens", "cut %", "by rule", "by judge", "errors")
	for _, x := range r.Results {
		pass := "-"
		if n := len(x.PassAtK); n > 0 {
			pass = percent(x.PassAtK[n-1].Mean)
		}
		cut, tokens := "-", "-"
		if x.Truncated != nil {
			cut = percent(*x.Truncated)
		}
		if x.Tokens != nil {
			tokens = fmt.Sprintf("%.0f", x.Tokens.Mean)
		}
		text += cells(x.Template, x.Set, fmt.Sprint(x.Problems), fmt.Sprint(x.SamplesMin), percent(x.MeanScore), percent(x.MeanScore95[0])+"-"+percent(x.MeanScore95[1]),
			pass, fmt.Sprint(x.SolveNone), fmt.Sprint(x.SolveAll), tokens, cut, fmt.Sprint(x.Verdicts.RuleCorrect), fmt.Sprint(x.Verdicts.JudgeCorrect), fmt.Sprint(x.Verdicts.Errors))
	}
	var shown []string
	for _, x := range r.Results {
		if many := slices.IndexFunc(r.Results, func(y evalResult) bool { return y.Template == x.Template && y.Set != x.Set }) >= 0; many && !slices.Contains(shown, x.Template) {
			shown = append(shown, x.Template)
			text += cells(x.Template, "mean", "", "", percent(r.Average[x.Template]), "", "", "", "", "", "", "", "", "")
		}
	}
	if _, err := io.WriteString(t, text); err != nil {
		return err
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range r.Spread {
		if _, err := fmt.Fprintf(w, "%s over templates: %s to %s, mean %s, sd %s\n", s.Set, percent(s.Min), percent(s.Max), percent(s.Mean), percent(s.SD)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "results %s\n", filepath.Join(out, gradingResultsName))
	return err
}

// percent prints a share.
func percent(x float64) string { return fmt.Sprintf("%.2f", 100*x) }
