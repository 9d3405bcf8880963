package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/internal/webpage/webpagetest"
)

var update = flag.Bool("update", false, "rewrite testdata")

// more are the elements that only these pages have.
var more = map[string]string{
	"a": "href", "ul": "class", "li": "", "h3": "id", "div": "id", "details": "id", "th": "class", "tr": "class", "td": "class", "summary": "",
}

// pageOf is the report of evaluations, as a file, and the folder beside it.
func pageOf(t testing.TB, dirs []string, o Options) (text, beside string) {
	t.Helper()
	r, err := Open(dirs, o)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, r)
}

// written is a report as a file, and the folder beside it.
func written(t testing.TB, r *Report) (text, beside string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	if _, err := r.File(file); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	webpagetest.WellFormed(t, string(b), style(), more)
	return string(b), strings.TrimSuffix(file, ".html") + "-answers"
}

// golden compares a text with a file, line by line.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		write(t, "testdata", name, got)
	}
	want, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); d != "" {
		t.Errorf("%s (-want +got); run with -update if it was meant:\n%s", name, d)
	}
}

// The whole of a small report, byte for byte, in every format.
func TestGolden(t *testing.T) {
	dir := t.TempDir()
	dirs := fixture(t, dir)
	r, err := Open(dirs, Options{Problems: columns})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "report.html")
	if _, err := r.File(file); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "report.html", bytes.ReplaceAll(page, []byte(dir), []byte("/evaluations")))
	table := r.Table()
	for name, writer := range map[string]func(*bytes.Buffer) error{
		"report.txt":  func(b *bytes.Buffer) error { return table.Text(b) },
		"report.md":   func(b *bytes.Buffer) error { return table.Markdown(b) },
		"report.csv":  func(b *bytes.Buffer) error { return table.CSV(b) },
		"report.json": func(b *bytes.Buffer) error { return r.JSON(b) },
	} {
		var b bytes.Buffer
		if err := writer(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

// What a reader is to find in that page, so that golden files that were
// rewritten without a look do not pass.
func TestPageSays(t *testing.T) {
	page, beside := pageOf(t, fixture(t, t.TempDir()), Options{Problems: columns})
	for _, want := range []string{
		"Base-1.5B · paper", "Base-1.5B · terse", "Trained-1.5B", "2\u00a0sets, 3\u00a0models, 64\u00a0answers",
		`<td>55.00<small>20.00 – 90.00</small></td>`, // 11 of 20 right
		`<td>52.60</td><td>69.69</td>`,               // the paper's
		"rule, then judge: B", "rule, then judge: no A, B or C", "no verdict", "verification timed out: 10s", "no answer found", ", cut off",
		"What is 22 &#43; 35? Put the answer in a box.", "Known answer: <code>57</code>", "<code>67</code>", `<mark>\boxed{67}</mark>`,
		"1 of 4\u00a0answers right", "Whole responses: <a href=", "sums_t0.7_p0.9_n2-MNT4096.jsonl", "· line 7",
		"characters left out", "&lt;b&gt;slowly&lt;/b&gt; &amp; with care", "before that (19,",
		"AIME24 by parity", "AIME24 by difficulty: how often Base-1.5B · paper solves a problem", "up to 25 %",
		"verifier rule, sympy 1.14.0", "arXiv 2512.16649", "T 0.7, top-p 0.9, 4096 tokens",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, not := range []string{"AIME24 by id", "AIME24 by constant", "NaN", "Inf<"} {
		if strings.Contains(page, not) {
			t.Errorf("the page says %q", not)
		}
	}
	if n := strings.Count(page, "wrong-answer\""); n != 26 {
		t.Errorf("%d wrong answers are shown, there are 26", n)
	}
	if _, err := os.Stat(beside); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("few wrong answers went to a folder: %v", err)
	}
}

// Every id is there once, and every link within the page leads to one.
func TestAnchors(t *testing.T) {
	page, _ := pageOf(t, fixture(t, t.TempDir()), Options{})
	ids := map[string]int{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		ids[m[1]]++
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%d elements are called %s", n, id)
		}
	}
	if len(ids) < 40 {
		t.Errorf("only %d ids", len(ids))
	}
}

// The paper's rows: their own means are those of their scores.
func TestPublished(t *testing.T) {
	rows := Published()
	if len(rows) != 2 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		mean, ok := r.mean(PublishedSets())
		if d := mean - r.Mean; !ok || d > 0.0051 || d < -0.0051 || len(r.Scores) != 9 || r.Base >= r.Mean {
			t.Errorf("%s: the mean of its scores is %.4f, it says %.2f", r.Model, mean, r.Mean)
		}
		if _, ok := r.mean([]string{"AIME24", "sums"}); ok {
			t.Errorf("%s has a mean over a set that it does not have", r.Model)
		}
	}
	for task, want := range map[string]string{"aime24": "AIME24", "olympiad-bench": "Olympiad-Bench", "math-500": "MATH-500", "sums": "sums", "AIME 2024": "AIME 2024"} {
		if got := setName(task); got != want {
			t.Errorf("%s is %s, want %s", task, got, want)
		}
	}
}

// A folder of grade has verdicts; its answers are where they were.
func TestGrading(t *testing.T) {
	dir := t.TempDir()
	all := answers([]string{"+-", "--"}, brief)
	grading(t, filepath.Join(dir, "graded"), filepath.Join(dir, "elsewhere"), "aime24", all)
	dirs := []string{filepath.Join(dir, "graded")}
	without, _ := pageOf(t, dirs, Options{})
	for _, want := range []string{"aime24_t0.7_p0.9_n2-MNT4096.jsonl was not found", "<code>61</code>", "graded", "25.00\u00a0% right on AIME24"} {
		if !strings.Contains(without, want) {
			t.Errorf("without the answers the page does not say %q", want)
		}
	}
	with, _ := pageOf(t, dirs, Options{Generations: []string{filepath.Join(dir, "elsewhere")}})
	if !strings.Contains(with, "What is 20 &#43; 31?") || strings.Contains(with, "was not found") {
		t.Error("the answers were not taken from the folder that was named")
	}
}

// What cannot be read is named, and nothing is written.
func TestErrors(t *testing.T) {
	verdicts := "verdicts/sums_t0.7_p0.9_n2-MNT4096.jsonl"
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  []string
	}{
		"no results":               {func(t *testing.T, dir string) { remove(t, dir, resultsName); remove(t, dir, "terse") }, []string{"no evaluation"}},
		"results that are no JSON": {func(t *testing.T, dir string) { write(t, dir, resultsName, []byte("{")) }, []string{resultsName}},
		"results of nothing":       {func(t *testing.T, dir string) { write(t, dir, resultsName, []byte(`[{"mean_score":1}]`)) }, []string{resultsName, "entry 1"}},
		"a record that is none":    {func(t *testing.T, dir string) { write(t, dir, recordName, []byte("nonsense")) }, []string{recordName}},
		"a verdict that is none":   {func(t *testing.T, dir string) { appendTo(t, dir, verdicts, "nonsense\n") }, []string{verdicts + ":9"}},
		"a verdict too many":       {func(t *testing.T, dir string) { appendTo(t, dir, verdicts, `{"example_id":0,"sample":2}`+"\n") }, []string{verdicts, "9 verdicts"}},
		"other verdicts":           {func(t *testing.T, dir string) { replace(t, dir, verdicts, `"correct":false`, `"correct":true`) }, []string{verdicts, "mean score"}},
		"no verdicts":              {func(t *testing.T, dir string) { remove(t, dir, verdicts) }, []string{verdictsName}},
		"other answers": {func(t *testing.T, dir string) {
			replace(t, dir, "sums_t0.7_p0.9_n2-MNT4096.jsonl", `"seed":101`, `"seed":102`)
		}, []string{"sums_t0.7", "not what was graded"}},
		"an answer less": {func(t *testing.T, dir string) {
			write(t, dir, "sums_t0.7_p0.9_n2-MNT4096.jsonl", []byte(`{"example_id":0,"prompt":"","answer":"51","seed":100,"response":""}`+"\n"))
		}, []string{"sums_t0.7", "not what was graded"}},
		"a broken answer": {func(t *testing.T, dir string) {
			replace(t, dir, "sums_t0.7_p0.9_n2-MNT4096.jsonl", `"example_id":1`, `"example_id":x`)
		}, []string{"sums_t0.7_p0.9_n2-MNT4096.jsonl:2"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			dirs := fixture(t, dir)
			tc.spoil(t, dirs[0])
			file := filepath.Join(dir, "report.html")
			r, err := Open(dirs, Options{})
			if err == nil {
				_, err = r.File(file)
			}
			if err == nil || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v, want one line", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
			if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("something was written: %v", err)
			}
		})
	}
	two := fixture(t, t.TempDir())
	if _, err := Open(two, Options{Generations: two[:1]}); err == nil || !strings.Contains(err.Error(), "1 folders with answers for 2 evaluations") {
		t.Errorf("answers of one of two: %v", err)
	}
	if _, err := Open([]string{t.TempDir()}, Options{}); !errors.Is(err, ErrNotEvaluation) {
		t.Errorf("an empty folder: %v", err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, dir, name, text string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, name, append(b, text...))
}

func replace(t *testing.T, dir, name, old, with string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || !bytes.Contains(b, []byte(old)) {
		t.Fatalf("%s: %v; it has no %s", name, err, old)
	}
	write(t, dir, name, bytes.Replace(b, []byte(old), []byte(with), 1))
}

// Comparisons, breakdowns and spreads, by hand.
func TestAnalysis(t *testing.T) {
	r, err := Open(fixture(t, t.TempDir()), Options{Problems: columns})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Comparisons []Comparison
		Breakdowns  []Breakdown
		Templates   []Spread
		Means       []struct {
			Model     string
			Sets      []string
			MeanScore float64 `json:"mean_score"`
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	// AIME24: 4 2 1 0 4 of 4 against 4 4 3 1 4.
	i := slices.IndexFunc(got.Comparisons, func(c Comparison) bool { return c.Set == "AIME24" })
	if i < 0 {
		t.Fatal("no comparison on AIME24")
	}
	c := got.Comparisons[i]
	if c.A != "Trained-1.5B" || c.B != "Base-1.5B · paper" || c.Difference != 0.25 || c.Better != 3 || c.Worse != 0 || c.P != 0.25 {
		t.Errorf("compared: %+v", c)
	}
	var parity []string
	for _, b := range got.Breakdowns {
		if b.Set == "AIME24" && b.Model == "Trained-1.5B" && b.By == "parity" {
			for _, p := range b.Parts {
				parity = append(parity, p.Key+" "+score(p.MeanScore))
			}
		}
	}
	if d := cmp.Diff([]string{"even 91.67", "odd 62.50"}, parity); d != "" {
		t.Errorf("by parity (-want +got):\n%s", d)
	}
	if len(got.Templates) != 1 || got.Templates[0].Spread != 0.125 || got.Templates[0].Scores["terse"] != 0.25 {
		t.Errorf("templates: %+v", got.Templates)
	}
	if len(got.Means) != 3 || got.Means[2].MeanScore != (0.8+0.75)/2 {
		t.Errorf("means: %+v", got.Means)
	}
}

// What a sweep hands over is on the page, drawn and as a table, in the place of
// the report's own spreads.
func TestVariations(t *testing.T) {
	r, err := Open(fixture(t, t.TempDir()), Options{Problems: columns})
	if err != nil {
		t.Fatal(err)
	}
	r.Vary(variations())
	var b bytes.Buffer
	p, err := r.newPage()
	if err != nil {
		t.Fatal(err)
	}
	all, err := pages()
	if err != nil {
		t.Fatal(err)
	}
	if err := execute(&b, all, "main", p); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"By seed and by template", `id="over-seed"`, `id="over-template"`, "AIME24: Base-1.5B &lt;b&gt; 55.00 (from 50.00 to 60.00)",
		`<th scope="row">AIME24</th><td class="words">Base-1.5B &lt;b&gt;</td><td class="words">seed</td><td class="words">0: 50.00, 1: 60.00</td><td>50.00</td><td>60.00</td><td>10.00</td><td>55.00</td><td>7.07</td>`,
		`<td class="words">paper: 40.00, terse: 40.00</td><td>40.00</td><td>40.00</td><td>0.00</td>`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(b.String(), `id="templates"`) {
		t.Error("templates are there twice")
	}
}

// variations are some of the fixture's sets.
func variations() []Variation {
	return []Variation{
		{Over: "seed", Set: "aime24", Of: "Base-1.5B <b>", Scores: []VariedScore{{"0", 0.5}, {"1", 0.6}}, Mean: 0.55, SD: 0.0707},
		{Over: "seed", Set: "sums", Of: "Trained-1.5B", Scores: []VariedScore{{"0", 0.7}, {"1", 0.9}}, Mean: 0.8, SD: 0.1414},
		{Over: "template", Set: "sums", Of: "Base-1.5B <b>", Scores: []VariedScore{{"paper", 0.4}, {"terse", 0.4}}, Mean: 0.4},
		{Over: "template", Set: "sums", Of: "nothing"},
	}
}

// Columns are written, replaced and read again, of sets whose names differ in capitals too.
func TestColumnsFile(t *testing.T) {
	dir := t.TempDir()
	problems := func(values ...string) (all []benchmarks.Problem) {
		for i, v := range values {
			all = append(all, benchmarks.Problem{ID: 10 + i, Columns: map[string]string{"level": v, "same": "x", "number": fmt.Sprint(i), "text": v + strings.Repeat("y", longestValue)}})
		}
		return all
	}
	write := func(sets map[string][]benchmarks.Problem) columnsFile {
		t.Helper()
		if err := WriteColumns(dir, sets); err != nil {
			t.Fatal(err)
		}
		f, err := readColumnsFile(dir)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if f := write(map[string][]benchmarks.Problem{"Own": problems("a", "b", "c")}); f != nil {
		t.Errorf("columns of which none repeats: %v", f)
	}
	f := write(map[string][]benchmarks.Problem{"Own": problems("<a>", "b", "<a>", "b"), "aime24": problems("1", "2", "2", "2")})
	if d := cmp.Diff(columnsFile{"Own": {"level": {"<a>": {10, 12}, "b": {11, 13}}}, "aime24": {"level": {"1": {10}, "2": {11, 12, 13}}}}, f); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]map[int]string{"level": {10: "1", 11: "2", 12: "2", 13: "2"}}, f.of("AIME24")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if f.of("own") != nil || f.of("Own") == nil {
		t.Errorf("%v", f)
	}
	f = write(map[string][]benchmarks.Problem{"Own": problems("a", "a", "b", "b", "b")})
	if len(f) != 2 || len(f["Own"]["level"]["b"]) != 3 {
		t.Errorf("%v", f)
	}
	if f = write(map[string][]benchmarks.Problem{"Own": nil, "aime24": nil}); f != nil {
		t.Errorf("%v", f)
	}
}

// What is damaged is written anew, as the error of reading it says.
func TestColumnsFileIsMended(t *testing.T) {
	problems := make([]benchmarks.Problem, 4)
	for i := range problems {
		problems[i] = benchmarks.Problem{ID: i, Columns: map[string]string{"level": strconv.Itoa(i / 2)}}
	}
	for _, broken := range []string{"", "{", "[]", `{"sums":{"half":{"first":["0"]}}}`, "\x00"} {
		dir := t.TempDir()
		write(t, dir, columnsName, []byte(broken))
		if err := WriteColumns(dir, map[string][]benchmarks.Problem{"sums": problems}); err != nil {
			t.Fatalf("%q: %v", broken, err)
		}
		f, err := readColumnsFile(dir)
		if d := cmp.Diff(columnsFile{"sums": {"level": {"0": {0, 1}, "1": {2, 3}}}}, f); d != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", broken, err, d)
		}
		write(t, dir, columnsName, []byte(broken))
		if err := WriteColumns(dir, nil); err != nil {
			t.Errorf("%q: %v", broken, err)
		}
		if f, err := readColumnsFile(dir); err != nil || f != nil {
			t.Errorf("%q: %v, %v", broken, f, err)
		}
	}
	// What cannot be read for another reason is left.
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, columnsName), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := WriteColumns(dir, map[string][]benchmarks.Problem{"sums": problems}); err == nil {
		t.Error("a folder was taken for a damaged file")
	}
}

// A folder's own columns are those of its problems; a broken file is told of.
func TestColumnsOfAFolder(t *testing.T) {
	dirs := fixture(t, t.TempDir())
	write(t, dirs[1], columnsName, []byte(`{"sums":{"half":{"first":[0,1],"second":[2,3,99]}}}`))
	r, err := Open(dirs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var found []Breakdown
	for _, b := range r.Breakdowns() {
		if b.By != byDifficulty {
			found = append(found, b)
		}
	}
	if len(found) != 1 || found[0].By != "half" || found[0].Model != "Trained-1.5B" || len(found[0].Parts) != 2 || found[0].Parts[0].MeanScore != 0.75 {
		t.Errorf("%+v", found)
	}
	for _, broken := range []string{"{", "[]", `{"sums":{"half":{"first":["0"]}}}`, "\x00"} {
		write(t, dirs[1], columnsName, []byte(broken))
		if _, err := Open(dirs, Options{}); err == nil || !strings.Contains(err.Error(), filepath.Join(dirs[1], columnsName)) {
			t.Errorf("%q: %v", broken, err)
		}
	}
}
