package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/benchmarks"
)

// The judge is asked about what the rules reject, of a file too, and what it said
// is kept for the next time.
func TestGradeJudge(t *testing.T) {
	second := judging(t, "A")
	dir := generationsOf(t,
		generationLine(1, 5, `\boxed{1}`),
		generationLine(2, 5, `no box at all`),
	)
	out := filepath.Join(t.TempDir(), "out")
	args := []string{"grade", "--generations", dir, "--out", out, "--judge", second.URL}
	for range 2 {
		code, _, stderr := run(t, args...)
		if code != ExitOK {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		by := map[string]int{}
		for _, v := range verdicts(t, filepath.Join(out, verdictsName)) {
			by[v.By]++
			if v.By == benchmarks.ByJudge && (!v.Correct || v.Judgement != "A") {
				t.Errorf("verdict %+v", v)
			}
		}
		asked := chats(t, second)
		if len(asked) != by[benchmarks.ByJudge] || len(asked) == 0 || !strings.Contains(asked[0].Messages[0].Content, "no box at all") {
			t.Errorf("asked %+v, verdicts %v", asked, by)
		}
	}
}

func TestJudgeFlagsNeedAJudge(t *testing.T) {
	dir := generationsOf(t, generationLine(1, 5, `\boxed{1}`))
	out := filepath.Join(t.TempDir(), "out")
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--generations", dir, "--judge-tail", "5"}, "--judge-tail is for a judge; give --judge URL"},
		{[]string{"--generations", dir, "--judge", "http://127.0.0.1:1", "--judge-tail", "-5"}, "--judge-tail must be at least 0"},
		{[]string{"--in", dir, "--judge", "http://127.0.0.1:1"}, "--judge is for --generations"},
	} {
		code, _, stderr := run(t, append([]string{"grade", "--out", out}, tc.args...)...)
		if code != ExitUsage || !strings.Contains(stderr, tc.want) {
			t.Errorf("%v: exit code %d, %q", tc.args, code, stderr)
		}
	}
}
