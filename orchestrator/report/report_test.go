package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/internal/webpage"
	"github.com/justrl/justrl/internal/webpage/webpagetest"
	"github.com/justrl/justrl/orchestrator/journal"
)

var update = flag.Bool("update", false, "rewrite testdata")

// page is the report of a run directory.
func pageOf(t testing.TB, dir string) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(dir, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The whole page of a small run, byte for byte.
func TestGolden(t *testing.T) {
	dir, golden := filepath.Join("testdata", "run"), filepath.Join("testdata", "run.html")
	if *update {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		fixture(t, dir)
	}
	here, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(pageOf(t, dir), here, "/runs/first")
	if *update {
		write(t, "testdata", "run.html", []byte(got))
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("(-want +got); run with -update if it was meant:\n%s", d)
	}
	webpagetest.WellFormed(t, got, webpage.StyleSheet, nil)
}

// What a reader is to find in the page of that run, so that a golden file that
// was rewritten without a look does not pass.
func TestPageSays(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir)
	page := pageOf(t, dir)
	for _, want := range []string{
		"Held-out problems answered right: 25.0\u00a0% → 75.0\u00a0%", "Finished: 6\u00a0steps", "1\u00a0min 25\u00a0s", "41,000",
		fmt.Sprintf("%064x", 6), "/runs/first/checkpoints/step-000006", "sampled, T = 1", "21.0\u00a0%", "70.0\u00a0%",
		"12\u00a0problems, answered before training and after 6\u00a0steps (greedy).",
		"Units: 0 &#43; 1 = 1.\n\tTens:  2 &#43; 3.\nThe answer is <mark>\\boxed{51}</mark>.",
		"mini_batch: 8", "5ca1ab1e", `aria-label="Reward, mean of all answers of a step, over the steps of the run. Mean: from −0.400 at step 1`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	counts := regexp.MustCompile(`<div class="([a-z-]+)"><dt>[^<]+</dt><dd><strong>(\d+)</strong>`).FindAllStringSubmatch(page, -1)
	var got []string
	for _, c := range counts {
		got = append(got, c[1]+" "+c[2])
	}
	if d := cmp.Diff([]string{"became-right 7", "stayed-right 2", "stayed-wrong 3", "became-wrong 0"}, got); d != "" {
		t.Errorf("what became of the answers (-want +got):\n%s", d)
	}
}

// The policy names the style sheet that is in the page, and nothing else.
func TestPolicy(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir)
	page := pageOf(t, dir)
	_, rest, _ := strings.Cut(page, "<style>")
	style, _, ok := strings.Cut(rest, "</style>")
	if !ok {
		t.Fatal("no style sheet")
	}
	want := `content="` + template.HTMLEscapeString(webpage.Policy(style)) + `"`
	want = strings.ReplaceAll(want, "+", "&#43;")
	if !strings.Contains(page, want) {
		t.Errorf("the page's policy is not %s", want)
	}
}

// Every key that the page reads is one that a run writes.
func TestKeysAreTheJournals(t *testing.T) {
	b, err := json.Marshal(journal.Step{Canary: fixtureSteps(1)[0].Canary})
	if err != nil {
		t.Fatal(err)
	}
	var s record
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	if s.canary != "passed" {
		t.Errorf("the canary is %q", s.canary)
	}
	for _, c := range tableColumns() {
		if _, ok := s.numbers[c.key]; !ok {
			t.Errorf("a step's record has no %s; it has %v", c.key, slices.Sorted(maps.Keys(s.numbers)))
		}
	}
	dir := t.TempDir()
	fixture(t, dir)
	write(t, dir, "steps.jsonl", lines(t, drawnSteps(6)))
	r, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.figures() {
		for _, c := range f.Curves {
			if c.First() != 0 || c.Last() != len(c.Y)-1 {
				t.Errorf("%s, %s has no values: %v", f.ID, c.Name, c.Y)
			}
		}
	}
}

func TestNoRun(t *testing.T) {
	empty := t.TempDir()
	for name, dir := range map[string]string{"an empty folder": empty, "no folder": filepath.Join(empty, "x")} {
		var b bytes.Buffer
		err := Write(dir, &b)
		if !errors.Is(err, journal.ErrNotRun) || !strings.Contains(err.Error(), dir) || b.Len() > 0 {
			t.Errorf("%s: %v, and %d bytes; want ErrNotRun that names it, and nothing written", name, err, b.Len())
		}
	}
}

// The file is replaced by a whole report, and by nothing else.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir)
	path, err := File(dir)
	if err != nil || path != filepath.Join(dir, "report.html") {
		t.Fatalf("%s, %v", path, err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != pageOf(t, dir) {
		t.Error("the file is not the page")
	}
	write(t, dir, "steps.jsonl", []byte("{\"step\":0}\nnonsense\n"))
	if _, err := File(dir); err == nil || !strings.Contains(err.Error(), "steps.jsonl:2") {
		t.Errorf("a line that is no JSON: %v; want an error that names it", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("a failed report touched the old one: %v", err)
	}
}

// Runs that hold less, or other things, than a finished one.
func TestUnusualRuns(t *testing.T) {
	step := func(s string) []byte { return []byte(s + "\n") }
	for _, tc := range []struct {
		name  string
		files map[string][]byte // nil removes one of the fixture's
		want  []string
		not   []string
	}{
		{"no step yet", map[string][]byte{"steps.jsonl": nil, "validation.jsonl": nil, "summary.json": nil, "eval": nil},
			[]string{"No step has been recorded yet", "Not finished: 0 of 6\u00a0steps"}, []string{"<figure", "NaN"}},
		{"nothing but run.json", map[string][]byte{"steps.jsonl": nil, "validation.jsonl": nil, "summary.json": nil, "eval": nil, "config.yaml": nil},
			[]string{"No step has been recorded yet", "Not finished: 0\u00a0steps", "5ca1ab1e"}, []string{"<figure", "Configuration"}},
		{"one step", map[string][]byte{"steps.jsonl": lines(t, fixtureSteps(1)), "summary.json": nil, "validation.jsonl": nil, "eval": nil},
			[]string{"Reward: −0.400", "Not finished: 1 of 6\u00a0steps"}, []string{"NaN", "Inf"}},
		{"interrupted", map[string][]byte{"steps.jsonl": lines(t, fixtureSteps(4)), "summary.json": nil},
			[]string{"Not finished: 4 of 6\u00a0steps", "SHA-256 of the weights after the last step", fmt.Sprintf("%064x", 4), "Tokens trained on"}, nil},
		{"an old summary, more steps", map[string][]byte{"steps.jsonl": lines(t, fixtureSteps(9)), "config.yaml": fixtureConfig(t, 12)},
			[]string{"Not finished: 9 of 12\u00a0steps"}, []string{"41,000"}},
		{"a torn last line", map[string][]byte{"steps.jsonl": append(lines(t, fixtureSteps(4)), `{"step":4,"critic/sc`...), "summary.json": nil},
			[]string{"Not finished: 4 of 6\u00a0steps"}, nil},
		{"missing keys", map[string][]byte{"steps.jsonl": step(`{"step":0,"actor/entropy":0.5}` + "\n" + `{"step":1,"actor/entropy":0.25}`), "validation.jsonl": nil, "summary.json": nil, "eval": nil},
			[]string{"0.500 → 0.250", "–"}, []string{`id="reward"`, `id="lr"`, "NaN"}},
		{"numbers beyond a float64", map[string][]byte{"steps.jsonl": step(`{"step":0,"actor/entropy":1e999,"critic/score/mean":1e308,"actor/grad_norm":1}` + "\n" + `{"step":1,"actor/entropy":-1e999,"critic/score/mean":-1e308,"actor/grad_norm":2}`), "summary.json": nil},
			[]string{"1 → 2"}, []string{"NaN", "Inf", `id="entropy"`}},
		{"steps without numbers", map[string][]byte{"steps.jsonl": step(`{"actor/entropy":1}` + "\n" + `null` + "\n" + `{"step":"x","actor/entropy":null}`), "summary.json": nil},
			[]string{"Not finished: 3 of 6\u00a0steps"}, []string{"NaN"}},
		{"enormous step numbers", map[string][]byte{"steps.jsonl": step(`{"step":1e18,"actor/entropy":1}`), "summary.json": nil},
			[]string{"Not finished: 1 of 6\u00a0steps"}, []string{"NaN"}},
		{"a configuration of another version", map[string][]byte{"config.yaml": []byte("steps: 7\nvalidation:\n  temperature: 0.6\n  novel: 3\n"), "summary.json": nil},
			[]string{"novel: 3", "of 7\u00a0steps", "T = 0.6"}, nil},
		{"a configuration that is none", map[string][]byte{"config.yaml": []byte("{[:"), "summary.json": nil},
			[]string{"{[:", "Not finished: 6\u00a0steps"}, nil},
		{"answers of one measurement", map[string][]byte{"eval/step-000006/heldout.jsonl": {}, "rollouts/step-000005.jsonl": lines(t, []journal.Rollout{{ProblemID: "p", Text: `\boxed{3}`, Reward: 1}})},
			[]string{"Answers sampled for training", "Step 6", "1 of 1\u00a0answer had a reward above 0.", `<mark>\boxed{3}</mark>`}, []string{"Answers before and after"}},
		{"several sets", map[string][]byte{"validation.jsonl": lines(t, []journal.Validation{
			{Steps: 0, Accuracy: map[string]float64{"a": 0.1, "b": 0.5}}, {Steps: 3, Accuracy: map[string]float64{"a": 0.9, "b": 0.5}}, {Steps: 6, Accuracy: map[string]float64{"a": 0.3, "b": 0.7}}})},
			[]string{"right: 30.0\u00a0% → 50.0\u00a0%", "mean of 2\u00a0sets", "Held-out accuracy by set", "90.0\u00a0%", "a, greedy"}, nil},
		{"a control", map[string][]byte{"config.yaml": bytes.Replace(fixtureConfig(t, 6), []byte("shuffle_control: false"), []byte("shuffle_control: true"), 1)},
			[]string{"rewards were shuffled"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			fixture(t, dir)
			for name, text := range tc.files {
				if text == nil {
					if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
						t.Fatal(err)
					}
					continue
				}
				write(t, dir, name, text)
			}
			page := pageOf(t, dir)
			webpagetest.WellFormed(t, page, webpage.StyleSheet, nil)
			for _, w := range tc.want {
				if !strings.Contains(page, w) {
					t.Errorf("the page does not say %q", w)
				}
			}
			for _, n := range tc.not {
				if strings.Contains(page, n) {
					t.Errorf("the page has %q", n)
				}
			}
		})
	}
}

// A run as long as the paper's gives a page that a browser still likes.
func TestLongRun(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir)
	write(t, dir, "config.yaml", fixtureConfig(t, 5000))
	write(t, dir, "steps.jsonl", lines(t, fixtureSteps(5000)))
	page := pageOf(t, dir)
	webpagetest.WellFormed(t, page, webpage.StyleSheet, nil)
	if len(page) > 2<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
	rows := strings.Count(page, `<tr><th scope="row">`)
	if rows < 100 || rows > mostRows+2 {
		t.Errorf("the table has %d rows", rows)
	}
	for _, want := range []string{"Every 20th step", `<tr><th scope="row">1</th>`, `<tr><th scope="row">5,000</th>`, "the mean over 125 steps"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestNextRound(t *testing.T) {
	var got []int
	for n := 1; n < 2000; n = nextRound(n) {
		got = append(got, n)
	}
	if d := cmp.Diff([]int{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
