package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/orchestrator/config"
)

func TestReport(t *testing.T) {
	dir := t.TempDir()
	code, _, stderr := run(t, "report", dir)
	if code != ExitFailed || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, dir) || !strings.Contains(stderr, "no run") {
		t.Errorf("a folder without a run: exit code %d, %q", code, stderr)
	}
	if err := os.WriteFile(filepath.Join(dir, "run.json"), []byte(`{"id":"abc"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "x.html")
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"report", dir}, filepath.Join(dir, "report.html")},
		{[]string{"report", dir, "--out", other}, other},
	} {
		code, stdout, stderr := run(t, tc.args...)
		if code != ExitOK || stdout != "report "+tc.want+"\n" || stderr != "" {
			t.Errorf("%v: exit code %d, %q, %q", tc.args, code, stdout, stderr)
		}
		if b, err := os.ReadFile(tc.want); err != nil || !strings.Contains(string(b), "abc") {
			t.Errorf("%v: %v, %d bytes", tc.args, err, len(b))
		}
	}
}

// Several runs are compared: the table on stdout, the page where --out says.
func TestReportOfSeveralRuns(t *testing.T) {
	root := t.TempDir()
	runOf := func(name string, seed int64, lr float64, reward float64) string {
		c, err := config.Preset("tiny-cpu")
		if err != nil {
			t.Fatal(err)
		}
		c.Optimizer.LR = lr
		text, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(root, name)
		step := fmt.Sprintf(`{"step":0,"critic/score/mean":%g,"cost/tokens_generated":1000,"cost/flops_generated":1e9,"cost/flops_trained":3e9,"timing_s/servers":2,"timing_s/trainer":1}`+"\n", reward)
		for file, text := range map[string]string{"run.json": fmt.Sprintf(`{"id":"x","seed":%d}`, seed), "config.yaml": string(text), "steps.jsonl": step} {
			path := filepath.Join(dir, file)
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	a, b := runOf("a", 1, 1e-5, 0.25), runOf("b", 2, 1e-5, 0.27)
	x, y := runOf("x", 1, 2e-5, 0.75), runOf("y", 2, 2e-5, 0.78)
	page := filepath.Join(root, "page.html")
	code, stdout, stderr := run(t, "report", a, b, x, y, "--out", page)
	for _, want := range []string{"2 recipes, 4 runs", "after 1,000 tokens", "optimizer.lr=2e-05 is ahead of tiny-cpu, optimizer.lr=1e-05 (+0.505", "By FLOPs", "report " + page} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it does not say %q: %s", want, stdout)
		}
	}
	if html, err := os.ReadFile(page); code != ExitOK || stderr != "" || err != nil || !strings.Contains(string(html), "At equal compute") {
		t.Errorf("exit code %d, %q, %v", code, stderr, err)
	}
	code, stdout, _ = run(t, "report", a, x, "--json")
	var got struct {
		Recipes []struct{ Runs []struct{ Seed int64 } }
		Equal   []struct {
			Budget   float64
			Measures []struct{ Verdict string }
		} `json:"equal_budgets"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); code != ExitOK || err != nil || len(got.Recipes) != 2 || got.Equal[0].Budget != 1000 || !strings.Contains(got.Equal[0].Measures[0].Verdict, "one seed") {
		t.Errorf("as JSON: exit code %d, %v, %s", code, err, stdout)
	}
	bare := runWithout(t, runOf("bare", 3, 1e-5, 0), "config.yaml")
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"one of them twice": {[]string{"report", a, x, a}, ExitUsage, "there twice"},
		"a flag of others":  {[]string{"report", a, x, "--seed", "1"}, ExitUsage, "--seed is for evaluations"},
		"no configuration":  {[]string{"report", a, bare}, ExitFailed, "config.yaml"},
	} {
		code, _, stderr := run(t, tc.args...)
		if code != tc.code || !strings.Contains(stderr, tc.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, %q, want %d and %q", name, code, stderr, tc.code, tc.want)
		}
	}
}

// runWithout is the run without one of its files.
func runWithout(t *testing.T, dir, file string) string {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, file)); err != nil {
		t.Fatal(err)
	}
	return dir
}
