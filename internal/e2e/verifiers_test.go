//go:build torch

package e2e

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/orchestrator/journal"
)

// sums is the example's first problems as CSV, in columns of its own.
func sums(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	w := csv.NewWriter(&b)
	rows := [][]string{{"sum", "name", "total"}}
	for _, line := range strings.SplitN(string(content(t, train)), "\n", 65)[:64] {
		var p struct {
			Prompt      []struct{ Content string }
			RewardModel struct {
				GroundTruth string `json:"ground_truth"`
			} `json:"reward_model"`
			ExtraInfo struct{ Index string } `json:"extra_info"`
		}
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, []string{p.Prompt[0].Content, p.ExtraInfo.Index, p.RewardModel.GroundTruth})
	}
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(t.TempDir(), "sums.csv"), b.String())
}

func sumsArgs(data, out string, more ...string) []string {
	args := append(embeddedArgs(out), "--data", data, "--steps", "2", "--set", "problems.question=sum", "--set", "problems.answer=total", "--set", "problems.id=name")
	return append(args, more...)
}

// The same problems from another format, in other columns, under a verifier that
// agrees with the strict box on them: the same run, to the last bit.
func TestRunOnCSVWithAnotherVerifier(t *testing.T) {
	data := sums(t)
	first, second := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "run")
	must(t, sumsArgs(data, first)...)
	must(t, sumsArgs(data, second, "--set", "reward.verifier=numeric")...)
	if a, b := summary(t, first).WeightsSHA256, summary(t, second).WeightsSHA256; a != b {
		t.Errorf("weights %.12s with the strict box, %.12s with numbers", a, b)
	}
}

// A command that fails on some answers: they are counted and left out, and
// without reward.max_unscored the run stops, and can go on.
func TestRunWithACommandThatFails(t *testing.T) {
	data := sums(t)
	script := write(t, filepath.Join(t.TempDir(), "verify.sh"), `while read -r line; do
id=${line#*:}; id=${id%%,*}
case $line in
*boxed{7*) echo "{\"id\":$id,\"error\":\"I do not like it\"}";;
*Units*) echo "{\"id\":$id,\"score\":1}";;
*) echo "{\"id\":$id,\"score\":-1}";;
esac
done
`)
	command := []string{"--set", "reward.verifier=command", "--set", "reward.command=[sh, " + script + "]", "--set", "reward.workers=2"}
	out := filepath.Join(t.TempDir(), "run")
	r := justrl(t.Context(), t, sumsArgs(data, out, command...)...)
	for _, want := range []string{"I do not like it", "reward.max_unscored", "justrl run --resume --out " + out} {
		if r.code != cli.ExitFailed || !strings.Contains(r.lastLine(), want) {
			t.Errorf("exit code %d, %q; want %d and %q", r.code, r.lastLine(), cli.ExitFailed, want)
		}
	}
	must(t, "run", "--resume", "--out", out, "--set", "reward.max_unscored=0.9")
	failed := 0
	for _, s := range steps(t, out, 2) {
		rollouts, err := journal.ReadRollouts(out, s.Step)
		if err != nil {
			t.Fatal(err)
		}
		if s.Unscored != nil {
			failed += s.Errors
			if s.Timeouts != 0 || len(rollouts) > 8*8-s.Errors || len(rollouts) < 8*8-2*s.Errors {
				t.Errorf("step %d: %d errors, %d time-outs, trained on %d rollouts", s.Step, s.Errors, s.Timeouts, len(rollouts))
			}
		}
		for _, o := range rollouts {
			if strings.Contains(o.Text, "boxed{7") {
				t.Errorf("step %d was trained on %q", s.Step, o.Text)
			}
		}
	}
	if failed == 0 {
		t.Error("nothing was left out")
	}
	if _, err := os.Stat(filepath.Join(out, "summary.json")); err != nil {
		t.Error(err)
	}
	must(t, "replay", out, "--step", "1")
}
