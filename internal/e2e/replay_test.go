//go:build torch

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/justrl/justrl/internal/cli"
)

// A step of a real run, again: the same to the last bit, whatever the rewards were.
func TestReplaySaysTheSame(t *testing.T) {
	for name, more := range map[string][]string{
		"rewards as they were earned": nil,
		"rewards shuffled":            {"--set", "reward.shuffle_control=true"},
	} {
		t.Run(name, func(t *testing.T) {
			run := filepath.Join(t.TempDir(), "run")
			must(t, small(scripted(t, nil), run, append(more, "--steps", "3", "--set", "checkpoint.every=2", "--set", "checkpoint.keep=0")...)...)
			all := steps(t, run, 3)
			before := tree(t, run)
			for step := range 3 {
				r := must(t, "replay", run, "--step", strconv.Itoa(step))
				if !strings.Contains(r.stdout, "the same: ") || !strings.Contains(r.stdout, "actor/pg_loss") || !strings.Contains(r.stdout, all[step].WeightsSHA256[:12]) {
					t.Errorf("step %d:\n%s", step, r.stdout)
				}
			}
			out := filepath.Join(t.TempDir(), "model")
			got := struct {
				Step, From, Compared int
				Same                 bool
				Differences          []any
			}{}
			if err := json.Unmarshal([]byte(must(t, "replay", "--step", "2", "--json", "--out", out, run).stdout), &got); err != nil {
				t.Fatal(err)
			}
			if got.Step != 2 || got.From != 2 || !got.Same || got.Compared < 50 || got.Differences == nil || len(got.Differences) != 0 {
				t.Errorf("--json says %+v", got)
			}
			if a, b := sha256Of(t, out), summary(t, run).WeightsSHA256; a != b {
				t.Errorf("the weights written are %s, the run's %s", a, b)
			}
			must(t, "logprobs", "--model", out, "--in", write(t, filepath.Join(t.TempDir(), "in.jsonl"), `{"id":1,"token_ids":[1,2,3]}`), "--out", filepath.Join(t.TempDir(), "o"))
			refused(t, cli.ExitFailed, []string{out}, out, "replay", run, "--step", "2", "--out", out)
			if after := tree(t, run); !slices.Equal(before, after) {
				t.Errorf("replaying changed the run directory: before %v, after %v", before, after)
			}
		})
	}
}

func TestReplayOfAChangedRun(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	must(t, small(scripted(t, nil), run, "--steps", "3", "--set", "checkpoint.every=2")...)
	// As an older build has kept it: lines can be edited.
	path := filepath.Join(run, "rollouts", "step-000002.jsonl")
	must(t, "replay", run, "--step", "2", "--export", path)
	if err := os.Remove(filepath.Join(run, "rollouts", "step-000002.parquet")); err != nil {
		t.Fatal(err)
	}
	whole := content(t, path)
	edit(t, path, `"reward":-1`, `"reward":1`)
	r := justrl(t.Context(), t, "replay", run, "--step", "2")
	if r.code != cli.ExitFailed || !strings.Contains(r.lastLine(), "step 2 is not the same") {
		t.Errorf("exit code %d, last line %q", r.code, r.lastLine())
	}
	for _, w := range []string{"step 2 critic/score/mean", "step 2 actor/pg_loss", "step 2 weights_sha256", "figures differ"} {
		if !strings.Contains(r.stdout, w) {
			t.Errorf("it does not say %q:\n%s", w, r.stdout)
		}
	}
	write(t, path, string(bytes.Replace(whole, []byte(`"token_ids":[`), []byte(`"token_ids":[7777,`), 1)))
	refused(t, cli.ExitFailed, []string{path + ":1", "logprobs"}, run, "replay", run, "--step", "2")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	refused(t, cli.ExitFailed, []string{"step-000002.parquet", "is not there"}, run, "replay", run, "--step", "2")
	refused(t, cli.ExitFailed, []string{"steps.jsonl", "no step 7"}, run, "replay", run, "--step", "7")
	refused(t, cli.ExitFailed, []string{"holds no run"}, run, "replay", filepath.Dir(run), "--step", "0")
}
