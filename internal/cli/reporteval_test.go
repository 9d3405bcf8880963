package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/benchmarks"
)

// gradedFolder is what grade leaves of a small file of answers, and where those are.
func gradedFolder(t *testing.T, name, right string) (graded, answers string) {
	t.Helper()
	dir := t.TempDir()
	var text strings.Builder
	for i := range 4 {
		g := benchmarks.Generation{ExampleID: i % 2, Prompt: "What is one more?", Answer: "7", Seed: int64(i / 2), Response: `so \boxed{7}`, FinishReason: "stop", Tokens: 5}
		if right[i] != '+' {
			g.Response = `so <b>it is</b> \boxed{8}`
		}
		b, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(string(b) + "\n")
	}
	answers, graded = filepath.Join(dir, "answers"), filepath.Join(dir, name)
	if err := os.MkdirAll(answers, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(answers, "aime24_t0.7_p0.9_n2-MNT31744.jsonl"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := run(t, "grade", "--generations", answers, "--verifier", "strict-box", "--out", graded); code != ExitOK {
		t.Fatalf("grade: exit code %d, %s", code, stderr)
	}
	return graded, answers
}

// What grade writes is what report reads, in every format.
func TestReportOfEvaluations(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	a, answers := gradedFolder(t, "base", "+---")
	b, _ := gradedFolder(t, "trained", "+++-")
	out := t.TempDir()
	page, csv := filepath.Join(out, "r.html"), filepath.Join(out, "r.csv")
	code, stdout, stderr := run(t, "report", a, b, "--out", page, "--out", csv, "--out", filepath.Join(out, "r.md"), "--out", filepath.Join(out, "r.json"))
	if code != ExitOK || stderr != "" {
		t.Fatalf("exit code %d, %q", code, stderr)
	}
	for _, want := range []string{"base", "trained", "25.00", "75.00", "JustRL-DeepSeek-1.5B (arXiv 2512.16649)", "52.60", "report " + page + "\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not printed: %s", want, stdout)
		}
	}
	for name, want := range map[string]string{"r.html": "75.00", "r.csv": "AIME24,trained,", "r.md": "| AIME24 | trained |", "r.json": `"difference": 0.5`} {
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, it does not say %q", name, err, want)
		}
	}
	// One evaluation has its report in its folder, and JSON on stdout.
	code, stdout, _ = run(t, "report", a, "--json", "--generations", answers)
	if code != ExitOK || !json.Valid([]byte(stdout)) {
		t.Errorf("exit code %d, %q", code, stdout)
	}
	text, err := os.ReadFile(filepath.Join(a, "report.html"))
	if err != nil || !strings.Contains(string(text), "What is one more?") || !strings.Contains(string(text), "&lt;b&gt;it is&lt;/b&gt;") {
		t.Errorf("%v; the page has not the answers that were named", err)
	}
}

func TestReportRefuses(t *testing.T) {
	eval, _ := gradedFolder(t, "base", "+---")
	ofRun := t.TempDir()
	if err := os.WriteFile(filepath.Join(ofRun, "run.json"), []byte(`{"id":"abc"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"nothing":               {[]string{"report"}, ExitUsage, "EVAL"},
		"a run and evaluations": {[]string{"report", ofRun, eval, "--out", "x.html"}, ExitUsage, "not both"},
		"an unknown format":     {[]string{"report", eval, "--out", "x.pdf"}, ExitUsage, ".html, .md, .csv or .json"},
		"a run as JSON":         {[]string{"report", ofRun, "--json"}, ExitUsage, "--json is for evaluations"},
		"answers of one of two": {[]string{"report", eval, eval, "--out", "x.html", "--generations", "x"}, ExitUsage, "once for each"},
		"neither":               {[]string{"report", t.TempDir()}, ExitFailed, "no run either"},
	} {
		code, stdout, stderr := run(t, tc.args...)
		if code != tc.code || stdout != "" || !strings.Contains(stderr, tc.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, %q, %q", name, code, stdout, stderr)
		}
	}
}
