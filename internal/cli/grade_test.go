package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/justrl/justrl/benchmarks/grade"
	"github.com/justrl/justrl/sampler"
)

const generationsFile = "aime24_t0.7_p0.9_n2-MNT8.jsonl"

// generationsOf writes a folder with one file: a line for each pair of problem and response.
func generationsOf(t *testing.T, lines ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, generationsFile), []byte(strings.Join(lines, "\n")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

func generationLine(id, seed int, response string) string {
	return fmt.Sprintf(`{"example_id": %d, "prompt": "q", "answer": "%d", "seed": %d, "response": %q}`, id, id, seed, response)
}

// A problem without answers is not one with none right, and that is said.
func TestGradeSaysWhichProblemsAreMissing(t *testing.T) {
	dir := generationsOf(t, generationLine(1, 5, `\boxed{1}`), generationLine(2, 5, `\boxed{2}`), generationLine(7, 5, "x"))
	code, stdout, stderr := run(t, "grade", "--generations", dir, "--out", filepath.Join(t.TempDir(), "out"))
	if code != ExitOK || !strings.Contains(stderr, "4 of the example_ids from 1 to 7 have no answers") || !strings.Contains(stdout, "66.67") {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
}

func TestGradeGenerations(t *testing.T) {
	dir := generationsOf(t,
		generationLine(1, 5, `so \boxed{1}`), generationLine(2, 5, `a b c d e \boxed{1}`),
		generationLine(1, 6, `so \boxed{1}`), generationLine(2, 6, `a b c d e no`))
	for name, content := range map[string]string{"notes.jsonl": "{}", "verdicts.jsonl": "{}", "other.txt": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "graded")
	code, stdout, stderr := run(t, "grade", "--generations", dir, "--out", out, "--verifier", "strict-box")
	if code != ExitOK {
		t.Fatal(stderr)
	}
	if !strings.Contains(stderr, "notes.jsonl: left out") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("stderr %q", stderr)
	}
	if !strings.HasPrefix(stdout, "set     problems  n  avg@n %") || !strings.Contains(stdout, "\naime24         2  2    50.00  0.00-100.00     50.00    50.00     1    1   0.333") {
		t.Errorf("stdout:\n%s", stdout)
	}
	b, err := os.ReadFile(filepath.Join(out, resultsName))
	if err != nil {
		t.Fatal(err)
	}
	// The authors' program writes these, in this order.
	const first = `[
    {
        "hyperparameters": {
            "temperature": "0.7",
            "top_p": "0.9",
            "n": "2",
            "max_tokens": "8",
            "task_name": "aime24"
        },
        "mean_score": 0.5,
        "distinct_4gram": 0.3333333333333333,
        "best_score": 0.5,
        "solve_none": 1,
        "solve_all": 1,
        "avg_output_length": 0,
        "format_error_rollouts": 1,
`
	if !strings.HasPrefix(string(b), first) {
		t.Errorf("grading_results.json begins with\n%.600s", b)
	}
	if b, err = os.ReadFile(filepath.Join(out, verdictsName)); err != nil {
		t.Fatal(err)
	}
	const want = `{"file":"aime24_t0.7_p0.9_n2-MNT8.jsonl","line":1,"example_id":1,"sample":0,"seed":5,"answer":"1","ground_truth":"1","correct":true,"by":"rule"}
{"file":"aime24_t0.7_p0.9_n2-MNT8.jsonl","line":2,"example_id":2,"sample":0,"seed":5,"answer":"1","ground_truth":"2","correct":false,"by":"rule"}
{"file":"aime24_t0.7_p0.9_n2-MNT8.jsonl","line":3,"example_id":1,"sample":1,"seed":6,"answer":"1","ground_truth":"1","correct":true,"by":"rule"}
{"file":"aime24_t0.7_p0.9_n2-MNT8.jsonl","line":4,"example_id":2,"sample":1,"seed":6,"answer":"","ground_truth":"2","correct":false,"by":"rule"}
`
	if d := cmp.Diff(want, string(b)); d != "" {
		t.Errorf("verdicts (-want +got):\n%s", d)
	}
	for _, name := range []string{markdownName, csvName} {
		if b, err := os.ReadFile(filepath.Join(out, name)); err != nil || !strings.Contains(string(b), "50.00") {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}

	// The same file by itself, against the first result, as JSON.
	code, stdout, stderr = run(t, "grade", "--generations", filepath.Join(dir, generationsFile), "--out", filepath.Join(t.TempDir(), "again"),
		"--verifier", "regex", "--set", "reward.pattern=a b", "--against", out, "--json")
	if code != ExitOK {
		t.Fatal(stderr)
	}
	var files []gradedFile
	if err := json.Unmarshal([]byte(stdout), &files); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	f := files[0]
	if f.MeanScore != 0.5 || f.Against == nil || f.Against.Difference != 0 || f.Against.Better != 1 || f.Against.Worse != 1 || f.Against.P != 1 || f.Grader.Verifier != "regex" {
		t.Errorf("%+v, %+v", f, f.Against)
	}
	if parts := f.Against.ByDifficulty; len(parts) != 2 || parts[0].Key != "0" || parts[0].MeanScore != 1 || parts[1].Key != "1" || parts[1].MeanScore != 0 {
		t.Errorf("%+v", parts)
	}
}

func TestGradeGenerationsSaysWhatItLeavesOut(t *testing.T) {
	dir := generationsOf(t, generationLine(1, 5, `\boxed{1}`), generationLine(2, 5, `\boxed{2}`), generationLine(1, 6, `\boxed{1}`), generationLine(2, 6, "x")[:50])
	out := filepath.Join(t.TempDir(), "graded")
	code, _, stderr := run(t, "grade", "--generations", dir, "--out", out)
	if code != ExitOK || !strings.Contains(stderr, generationsFile+":4: the last line is broken off") || !strings.Contains(stderr, "from 1 to 2 answers") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	if b, err := os.ReadFile(filepath.Join(out, resultsName)); err != nil || !strings.Contains(string(b), `"torn_last_line": true`) || !strings.Contains(string(b), `"confinement": "`) {
		t.Errorf("%v: %s", err, b)
	}
}

func TestGradeGenerationsRefuses(t *testing.T) {
	whole := generationsOf(t, generationLine(1, 5, "x"))
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"broken in the middle", []string{"--generations", generationsOf(t, generationLine(1, 5, "x"), "{", generationLine(2, 5, "x"))}, ExitFailed, generationsFile + ":2: not JSON"},
		{"an empty folder", []string{"--generations", t.TempDir()}, ExitFailed, "has no generations, files named like"},
		{"not there", []string{"--generations", "/nowhere"}, ExitFailed, "/nowhere"},
		{"both", []string{"--generations", whole, "--in", "x"}, ExitUsage, "--in or --generations, one of the two"},
		{"neither", nil, ExitUsage, "--in or --generations, one of the two"},
		{"a flag of the other", []string{"--in", "x", "--json"}, ExitUsage, "--json is for --generations"},
		{"workers", []string{"--generations", whole, "--workers", "-1"}, ExitUsage, "--workers must be at least 0"},
		{"no other model", []string{"--generations", whole, "--against", t.TempDir()}, ExitFailed, "verdicts.jsonl"},
		{"no tokenizer", []string{"--generations", whole, "--tokenizer", t.TempDir()}, ExitFailed, "tokenizer"},
		{"a verifier that cannot", []string{"--generations", generationsOf(t, strings.Replace(generationLine(1, 5, "x"), `"answer": "1"`, `"answer": "one"`, 1)), "--verifier", "numeric"}, ExitFailed, generationsFile + ":1: numeric: "},
		{"a verifier that is gone", []string{"--generations", whole, "--verifier", "http", "--set", "reward.url=http://127.0.0.1:1/x"}, ExitServer, "127.0.0.1:1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			code, _, stderr := run(t, append([]string{"grade", "--out", out}, tc.args...)...)
			if code != tc.code || !strings.Contains(stderr, tc.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit code %d, stderr %q; want %d and %q in one line", code, stderr, tc.code, tc.want)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("something was written")
			}
		})
	}
}

type slowVerifier struct{ started chan string }

func (v slowVerifier) Verify(ctx context.Context, text, truth string) (sampler.Score, error) {
	switch text {
	case "wait":
		if v.started != nil {
			v.started <- text
		}
		<-ctx.Done()
		return sampler.Score{}, ctx.Err()
	case "fail":
		return sampler.Score{}, fmt.Errorf("cannot say")
	}
	return sampler.Score{Correct: text == truth, Reward: 1, Answer: text}, nil
}

// Pairs come out in their order whatever takes how long, and what has no
// verdict is not a wrong answer.
func TestGradePairsInOrder(t *testing.T) {
	var lines, want []string
	for i := range 300 {
		response, rest := fmt.Sprint(i), `"correct":true,"answer":"`+fmt.Sprint(i)+`","by":"slow","score":1`
		switch i {
		case 0:
			response, rest = "wait", `"correct":false,"answer":"","by":"slow","error":"verifier took too long: over 50ms"`
		case 7:
			response, rest = "fail", `"correct":false,"answer":"","by":"slow","error":"cannot say"`
		}
		common := fmt.Sprintf(`{"id":%d,"response":"%s","ground_truth":"%d"`, i, response, i)
		lines, want = append(lines, common+"}"), append(want, common+","+rest+"}")
	}
	in, out := file(t, "pairs.jsonl", strings.Join(lines, "\n")), filepath.Join(t.TempDir(), "out.jsonl")
	g := rules{"slow", grade.Limit(slowVerifier{}, 3, 50*time.Millisecond)}
	got, err := g.gradePairs(t.Context(), in, out)
	if err != nil {
		t.Fatal(err)
	}
	if got.right != 298 || got.total != 300 || got.failed != 2 || got.timedOut != 1 {
		t.Errorf("%+v", got)
	}
	if s := got.String(); s != "298 of 300 correct (99.33 %), 2 without a verdict" {
		t.Errorf("%q", s)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Join(want, "\n")+"\n", string(b)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if s := unscored(got.failed, got.timedOut); !strings.Contains(s, "2 without a verdict, of which 1 took too long") {
		t.Errorf("%q", s)
	}
}

func TestGradePairsInterrupted(t *testing.T) {
	in, out := file(t, "pairs.jsonl", strings.Repeat(`{"response":"wait","ground_truth":"b"}`+"\n", 20)), file(t, "out.jsonl", "before")
	ctx, cancel := context.WithCancel(t.Context())
	v := slowVerifier{make(chan string, 20)}
	var group errgroup.Group
	group.Go(func() error {
		<-v.started
		cancel()
		return nil
	})
	g := rules{"slow", grade.Limit(v, 3, 0)}
	_, err := g.gradePairs(ctx, in, out)
	_ = group.Wait()
	if exitCode(ctx, err) != ExitInterrupted {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != "before" {
		t.Errorf("the output was touched: %q, %v", b, err)
	}
}
