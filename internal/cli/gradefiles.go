package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/grade"
	"github.com/justrl/justrl/benchmarks/metrics"
	"github.com/justrl/justrl/benchmarks/table"
	"github.com/justrl/justrl/sampler/dataset"
	"github.com/justrl/justrl/sampler/tokenizer"
)

// What grade leaves in a folder.
const (
	resultsName  = "grading_results.json"
	verdictsName = "verdicts.jsonl"
	markdownName = "results.md"
	csvName      = "results.csv"
)

// gradedFile is an entry of grading_results.json: the authors' keys first.
type gradedFile struct {
	Hyperparameters generations.Name `json:"hyperparameters"`
	metrics.Results
	File    string        `json:"file"`
	Torn    bool          `json:"torn_last_line,omitempty"` // it was left out
	Grader  gradedBy      `json:"grader"`
	Against *comparedWith `json:"against,omitempty"`
	graded  *grade.Graded
}

// gradedBy is what the verdicts depend on.
type gradedBy struct {
	Program  string            `json:"justrl"`
	Verifier string            `json:"verifier"`
	Versions map[string]string `json:"versions,omitempty"` // of what the verifier runs on
	Judge    map[string]any    `json:"judge,omitempty"`    // what was asked about what the verifier rejects
}

type comparedWith struct {
	File string `json:"file"`
	metrics.Comparison
	ByDifficulty []metrics.Part `json:"by_difficulty"` // how often the other model solves a problem
}

// gradedVerdict is a line of verdicts.jsonl, in the order of files and lines.
type gradedVerdict struct {
	File string `json:"file"`
	Line int    `json:"line"`
	benchmarks.Verdict
}

func (r rules) generations(c *cli.Context) (err error) {
	said := told{c.App.ErrWriter}
	notice := said.Notice
	paths, err := generationFiles(c.String("generations"), notice)
	if err != nil {
		return err
	}
	out := c.String("out")
	if st, err := os.Stat(out); err == nil && !st.IsDir() {
		return usagef("--out %s is a file: with --generations it is the folder to write into", out)
	}
	against, err := readRates(c.String("against"))
	if err != nil {
		return err
	}
	options := grade.Options{Grader: &grade.Grader{Verifier: r.verifier, Fatal: isGone}, Question: question}
	if dir := c.String("tokenizer"); dir != "" {
		t, err := tokenizer.Load(dir)
		if err != nil {
			return err
		}
		options.Tokens = func(response string) int { return len(t.Encode(response)) }
	}
	by := r.by()
	asked, err := juryOptionsOf(c)
	if err != nil {
		return err
	}
	jury, err := openJury(c.Context, asked, out, longest(paths), said)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, jury.Close()) }()
	if jury != nil {
		options.Grader.Judge, by.Judge = jury.judge, jury.info
	}
	options.AtOnce = gradingAtOnce(options.Grader)
	var files []gradedFile
	for _, path := range paths {
		f, err := gradeFile(c.Context, path, options, c.Uint64("seed"), notice)
		if err != nil {
			return err
		}
		f.Grader = by
		if c.IsSet("against") {
			if err := f.compare(against, c.Uint64("seed")); err != nil {
				notice("%s: not compared: %v", path, err)
			}
		}
		files = append(files, f)
	}
	if jury != nil {
		by.Judge["judged"] = jury.judge.Stats()
		jury.nonsense(said)
	}
	if err := writeGraded(out, files); err != nil {
		return err
	}
	return showGraded(c, out, files)
}

// told writes a line for each thing that is said.
type told struct{ io.Writer }

func (t told) Notice(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) }

func (t told) Retrying(err error, wait time.Duration) {
	t.Notice("trying again in %s: %v", wait.Round(time.Second), err)
}

// longest is the most tokens of an answer by the names of files; 0 if none says.
func longest(paths []string) (tokens int) {
	for _, path := range paths {
		if name, ok := generations.ParseName(path); ok {
			n, _ := strconv.Atoi(name.MaxTokens) // digits, or too many of them for any model
			tokens = max(tokens, n)
		}
	}
	return tokens
}

// question is the user's message without the instruction that every prompt ends with.
func question(g benchmarks.Generation) string {
	return strings.TrimRight(strings.TrimSuffix(g.Prompt, dataset.Instruction), " \n")
}

// generationFiles are the path itself, or the files of a folder whose names say
// that they are generations, by name.
func generationFiles(path string, notice func(string, ...any)) ([]string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		if _, ok := generations.ParseName(path); !ok {
			notice("%s: its name does not say how it was sampled (TASK_t0.7_p0.9_n32-MNT31744%s)", path, generations.Extension)
		}
		return []string{path}, nil
	}
	all, err := filepath.Glob(filepath.Join(escapeGlob(path), "*"+generations.Extension))
	if err != nil {
		return nil, err
	}
	var files []string
	for _, f := range all {
		if _, ok := generations.ParseName(f); ok {
			files = append(files, f)
		} else if filepath.Base(f) != verdictsName {
			notice("%s: left out, its name does not say how it was sampled (TASK_t0.7_p0.9_n32-MNT31744%s)", f, generations.Extension)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no generations, files named like aime24_t0.7_p0.9_n32-MNT31744%s", path, generations.Extension)
	}
	return files, nil
}

// escapeGlob has a folder's name stand for itself in a pattern.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func gradeFile(ctx context.Context, path string, o grade.Options, seed uint64, notice func(string, ...any)) (f gradedFile, err error) {
	x, err := generations.OpenIndex(path)
	if err != nil {
		return f, err
	}
	defer x.Close() //nolint:errcheck // read only
	f.Hyperparameters, _ = generations.ParseName(path)
	f.File = filepath.Base(path)
	if x.Torn != nil {
		notice("%v; it is left out", x.Torn)
		f.Torn = true
	}
	if f.graded, err = grade.File(ctx, x, o); err != nil {
		return f, err
	}
	if f.Results, err = metrics.Compute(f.graded.Problems, seed); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	if f.SamplesMin != f.SamplesMax {
		notice("%s: its problems have from %d to %d answers each; every problem counts as much as the others (the authors' program counts answers in pieces of the first problem's number)", path, f.SamplesMin, f.SamplesMax)
	}
	if first, last := x.Problems[0].ID, x.Problems[len(x.Problems)-1].ID; last-first >= len(x.Problems) {
		notice("%s: %d of the example_ids from %d to %d have no answers; they do not count (in the authors' program they do, in distinct_4gram)", path, last-first+1-len(x.Problems), first, last)
	}
	return f, f.judged(path, notice)
}

// judged says how many answers have no verdict. That none has is an error: it says
// nothing of a model.
func (f gradedFile) judged(path string, notice func(string, ...any)) error {
	if v := f.Verdicts; v.Errors == f.Answers && v.Timeouts == 0 {
		return fmt.Errorf("%s:%d: %s; none of %d answers has a verdict", path, f.graded.Lines[0], f.graded.Verdicts[0].Error, f.Answers)
	}
	if said := unscored(f.Verdicts.Errors, f.Verdicts.Timeouts); said != "" {
		notice("%s: %s", path, said)
	}
	return nil
}

func writeGraded(dir string, files []gradedFile) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	t := resultsTable(files)
	return errors.Join(
		writeFile(filepath.Join(dir, verdictsName), func(w io.Writer) error {
			enc := jsonLines(w)
			for _, f := range files {
				for i, v := range f.graded.Verdicts {
					if err := enc.Encode(gradedVerdict{f.File, f.graded.Lines[i], v}); err != nil {
						return err
					}
				}
			}
			return nil
		}),
		writeFile(filepath.Join(dir, markdownName), t.Markdown),
		writeFile(filepath.Join(dir, csvName), t.CSV),
		writeFile(filepath.Join(dir, resultsName), func(w io.Writer) error { return encodeIndented(w, files) }), // last: it says that the others are there
	)
}

func encodeIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	return enc.Encode(v)
}

func resultsTable(files []gradedFile) table.Table {
	rows := make([]table.Row, len(files))
	for i, f := range files {
		rows[i] = table.Row{Name: f.Hyperparameters.Task, Results: f.Results}
		if slices.ContainsFunc(files, func(o gradedFile) bool { return o.File != f.File && o.Hyperparameters.Task == f.Hyperparameters.Task }) {
			rows[i].Name = strings.TrimSuffix(f.File, generations.Extension)
		}
	}
	return table.Of(rows)
}

func showGraded(c *cli.Context, out string, files []gradedFile) error {
	if c.Bool("json") {
		return encodeIndented(c.App.Writer, files)
	}
	if err := resultsTable(files).Text(c.App.Writer); err != nil {
		return err
	}
	for _, f := range files {
		if a := f.Against; a != nil {
			_, err := fmt.Fprintf(c.App.Writer, "%s: %+.2f points against %s (95 %%: %+.2f to %+.2f, p = %.3g; %d problems, better on %d, worse on %d)\n",
				f.File, 100*a.Difference, a.File, 100*a.In95[0], 100*a.In95[1], a.P, a.Problems, a.Better, a.Worse)
			if err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(c.App.Writer, "written to %s\n", out)
	return err
}
