package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/metrics"
)

// write writes a file of a folder.
func write(t testing.TB, dir, name string, text []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// lines is a file of one JSON value a line.
func lines[T any](t testing.TB, values []T) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// graded is a generation with its verdict.
type graded struct {
	Generation benchmarks.Generation
	Verdict    benchmarks.Verdict
}

// answers are n to each of problems, right where the pattern has a +, in the
// order of seeds as evaluations write them. A ? is what a judge said nothing of,
// a ! what no verdict was found for, an * what the judge accepted, a ~ is cut off.
func answers(patterns []string, response func(problem, sample int, right bool) string) []graded {
	var all []graded
	for j := range patterns[0] {
		for i, pattern := range patterns {
			c := pattern[j]
			right := c == '+' || c == '*'
			text := response(i, j, right)
			g := graded{
				Generation: benchmarks.Generation{ExampleID: i, Prompt: fmt.Sprintf("What is %d + %d? Put the answer in a box.", 20+i, 31+2*i), Answer: fmt.Sprint(51 + 3*i), Seed: int64(100 + j), Response: text, FinishReason: "stop", Tokens: len(text)/4 + 1},
				Verdict:    benchmarks.Verdict{ExampleID: i, Sample: j, Seed: int64(100 + j), Answer: fmt.Sprint(51 + 3*i), Truth: fmt.Sprint(51 + 3*i), Correct: right, By: benchmarks.ByRule},
			}
			if !right {
				g.Verdict.Answer = fmt.Sprint(61 + 3*i)
			}
			switch c {
			case '*':
				g.Verdict.By, g.Verdict.Judgement, g.Verdict.Answer = benchmarks.ByJudge, "A", ""
			case '?':
				g.Verdict.By, g.Verdict.Judgement = benchmarks.ByJudge, "?"
			case '-':
				g.Verdict.By, g.Verdict.Judgement = benchmarks.ByJudge, "B"
			case '!':
				g.Verdict.Answer, g.Verdict.Error, g.Verdict.TimedOut = "", "verification timed out: 10s", true
			case '~':
				g.Verdict.Answer, g.Generation.FinishReason = "", "length"
			}
			all = append(all, g)
		}
	}
	return all
}

// results are those of the answers of one file.
func results(t testing.TB, all []graded) metrics.Results {
	t.Helper()
	var problems []metrics.Problem
	at := map[int]int{}
	for _, g := range all {
		i, ok := at[g.Generation.ExampleID]
		if !ok {
			i = len(problems)
			at[g.Generation.ExampleID] = i
			problems = append(problems, metrics.Problem{ID: g.Generation.ExampleID, Distinct4: 0.5})
		}
		problems[i].Answers = append(problems[i].Answers, metrics.NewAnswer(g.Generation, g.Verdict))
	}
	r, err := metrics.Compute(problems, 7)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// evaluation writes what justrl eval leaves of sets under a template.
func evaluation(t testing.TB, dir, model, template string, sets map[string][]graded) {
	t.Helper()
	record := map[string]any{"model": model, "sampling": map[string]any{"temperature": 0.7, "top_p": 0.9, "max_tokens": 4096, "seed": 0}, "grading": map[string]any{"verifier": "rule", "versions": map[string]string{"sympy": "1.14.0"}}}
	b, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, recordName, append(b, '\n'))
	title := template
	if template == "" {
		title = PaperTemplate
	}
	var entries []map[string]any
	for _, set := range sorted(sets) {
		all := sets[set]
		name, err := generations.NewName(set, 0.7, 0.9, len(all), 4096)
		if err != nil {
			t.Fatal(err)
		}
		name.N = fmt.Sprint(results(t, all).SamplesMax)
		entries = append(entries, merged(t, map[string]any{"hyperparameters": name, "set": set, "template": title}, results(t, all)))
		writeAnswers(t, filepath.Join(dir, template), name.File(), all)
		var verdicts []benchmarks.Verdict
		for _, g := range all {
			verdicts = append(verdicts, g.Verdict)
		}
		write(t, filepath.Join(dir, template), verdictsDir+"/"+name.File(), lines(t, verdicts))
	}
	b, err = json.MarshalIndent(entries, "", "    ")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, template), resultsName, append(b, '\n'))
}

// grading writes what justrl grade --generations leaves, the answers apart.
func grading(t testing.TB, dir, answers, set string, all []graded) {
	t.Helper()
	r := results(t, all)
	name := generations.Name{Temperature: "0.7", TopP: "0.9", N: fmt.Sprint(r.SamplesMax), MaxTokens: "4096", Task: set}
	b, err := json.Marshal([]any{merged(t, map[string]any{"hyperparameters": name, "file": name.File(), "grader": map[string]string{"justrl": "0.1.0", "verifier": "rule"}}, r)})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, resultsName, b)
	var verdicts []map[string]any
	for i, g := range all {
		verdicts = append(verdicts, merged(t, map[string]any{"file": name.File(), "line": i + 1}, g.Verdict))
	}
	write(t, dir, verdictsName, lines(t, verdicts))
	writeAnswers(t, answers, name.File(), all)
}

func writeAnswers(t testing.TB, dir, name string, all []graded) {
	t.Helper()
	var gens []benchmarks.Generation
	for _, g := range all {
		gens = append(gens, g.Generation)
	}
	write(t, dir, name, lines(t, gens))
}

// merged are the fields of a value with others.
func merged(t testing.TB, with map[string]any, v any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &with); err != nil {
		t.Fatal(err)
	}
	return with
}

func brief(problem, sample int, right bool) string {
	wrong := map[bool]int{true: 0, false: 10}[right]
	return fmt.Sprintf("Units: %d + %d.\nTens: %d.\nSo it is \\boxed{%d}.", problem, 1+2*problem, 50, 51+3*problem+wrong)
}

// long are answers with something to fold up, and to leave out.
func long(problem, sample int, right bool) string {
	n := 20
	if sample == 0 {
		n = 400
	}
	return strings.Repeat("I count it once more, <b>slowly</b> & with care. ", n) + brief(problem, sample, right)
}

// fixture writes two evaluations, one of them under two templates, and a grading.
func fixture(t testing.TB, dir string) []string {
	t.Helper()
	first := []string{"++++", "+-+-", "---+", "----", "+*++"}
	evaluation(t, filepath.Join(dir, "first"), "Base-1.5B", "", map[string][]graded{
		"AIME24": answers(first, brief), "sums": answers([]string{"+-", "~!", "?-", "++"}, long),
	})
	evaluation(t, filepath.Join(dir, "first"), "Base-1.5B", "terse", map[string][]graded{"sums": answers([]string{"--", "-~", "?-", "++"}, brief)})
	evaluation(t, filepath.Join(dir, "second"), "Trained-1.5B", "", map[string][]graded{
		"AIME24": answers([]string{"++++", "++++", "-+++", "--+-", "++++"}, brief), "sums": answers([]string{"++", "+-", "-+", "++"}, brief),
	})
	return []string{filepath.Join(dir, "first"), filepath.Join(dir, "second")}
}

// columns are those of the fixture's problems.
func columns(set string) ([]benchmarks.Problem, error) {
	var all []benchmarks.Problem
	for i := range 5 {
		all = append(all, benchmarks.Problem{ID: i, Answer: fmt.Sprint(51 + 3*i), Columns: map[string]string{"parity": []string{"even", "odd"}[i%2], "id": fmt.Sprint(i), "constant": "x"}})
	}
	return all, nil
}
