//go:build torch

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The run that is killed, and that meets a full disk: the shipped policy on the
// embedded server, small, with everything that is written: a checkpoint every second
// step, validation, events.
const (
	killedSteps    = 6
	killedRollouts = 4 * 4
)

func killedArgs(t *testing.T, out string, seed int) []string {
	t.Helper()
	lines := bytes.SplitAfterN(content(t, heldOut), []byte("\n"), 5)
	few := filepath.Join(t.TempDir(), "few.jsonl")
	write(t, few, string(bytes.Join(lines[:4], nil)))
	return embeddedArgs(out, "--steps", strconv.Itoa(killedSteps), "--seed", strconv.Itoa(seed), "--validation", few, "--listen", "127.0.0.1:0",
		"--set", "checkpoint.every=2", "--set", "validation.every=3", "--set", "sampling.batch=4", "--set", "sampling.n=4", "--set", "update.mini_batch=2", "--set", "sampling.concurrency=1",
		"--set", "monitor.window=2", "--set", "monitor.rearm=1", "--set", "monitor.equal_groups.threshold=0.0001")
}

// sampledNotPublished: all rollouts of the step are there, and nothing that follows.
func sampledNotPublished(d disk) bool {
	return d.steps() > 0 && d.sampled() == killedRollouts && d.drawnFrom() == d.version() && !d.half("checkpoints", halfCheckpoint)
}

// nearRecord: the step is trained on, or being written down.
func nearRecord(d disk) bool {
	return d.reloading() || d.half("rollouts", halfParquet) || d.has(d.rollouts(".parquet"))
}

// TestKilledInNamedMoments kills a run once in each of the moments that matter, in
// which nothing in it moves and its disk shows that it is that moment. Resumed, it
// ends as one that was left alone: the same (step, row, sample), the same weights.
func TestKilledInNamedMoments(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	must(t, killedArgs(t, whole, 1)...)
	const last = killedSteps - 1
	recorded := moment{near: nearRecord, at: func(d disk) bool { return d.steps() > 1 && d.has(d.rollouts(".parquet")) }}
	for _, c := range []struct {
		name string
		moment
		tear string // a file that is cut in its last line too, as a machine that goes down leaves it
	}{
		{"mid-rollout", moment{at: func(d disk) bool { return d.steps() == 1 && d.sampled() > 0 && d.sampled() < killedRollouts }}, ""},
		{"mid-append of a rollout", moment{at: func(d disk) bool { return d.steps() == 3 && d.sampled() > 4 && d.sampled() < killedRollouts }}, "partial"},
		{"mid-update", moment{at: func(d disk) bool { return d.steps() == 3 && sampledNotPublished(d) }, phase: "update"}, ""},
		{"mid-snapshot", moment{near: func(d disk) bool { return d.half("snapshots", halfSnapshot) }, at: func(d disk) bool {
			path, _ := d.newest("snapshots", halfSnapshot)
			return d.steps() > 1 && path != "" && d.has(path, "model.safetensors") && !d.has(path, "COMPLETE.pending")
		}}, ""},
		{"between a snapshot's rename and its marker", moment{near: func(d disk) bool { return d.half("snapshots", halfSnapshot) || d.unmarked("snapshots", snapshotName) },
			at: func(d disk) bool { return d.unmarked("snapshots", snapshotName) }}, ""},
		{"mid-reload", moment{at: func(d disk) bool { return d.steps() == 3 && d.reloading() }}, ""},
		{"mid-append of a step's rollouts", moment{near: nearRecord, at: func(d disk) bool { return d.steps() > 0 && d.half("rollouts", halfParquet) }}, ""},
		{"between a step's rollouts and its record", recorded, ""},
		{"mid-append of a step's record", moment{at: func(d disk) bool { return d.steps() == 3 && d.sampled() < killedRollouts }}, "steps.jsonl"},
		{"mid-checkpoint", moment{near: func(d disk) bool { return d.half("checkpoints", halfCheckpoint) }, at: func(d disk) bool {
			path, _ := d.newest("checkpoints", halfCheckpoint)
			return path != "" && d.has(path, "model.safetensors") && !d.has(path, "COMPLETE.pending")
		}}, ""},
		{"between a checkpoint's rename and its marker", moment{near: func(d disk) bool {
			return d.half("checkpoints", halfCheckpoint) || d.unmarked("checkpoints", checkpointName)
		},
			at: func(d disk) bool { return d.unmarked("checkpoints", checkpointName) }}, ""},
		{"after the last step", moment{near: func(d disk) bool { return d.has("checkpoints", "step-00000"+strconv.Itoa(last+1)) || d.steps() > last }, at: func(d disk) bool {
			return d.steps() > last && !d.has("summary.json")
		}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := killedIn(t, c.moment)
			d := disk(out)
			t.Logf("killed: %d steps, %d rollouts of the next, versions.json %d: %s", d.steps(), d.sampled(), d.version(), state(out))
			if c.tear != "" {
				path := filepath.Join(out, c.tear)
				if c.tear == "partial" {
					path = filepath.Join(out, d.rollouts(".partial.jsonl"))
				}
				tear(t, path)
			}
			goOnAndCompare(t, whole, out)
		})
	}
}

// killedIn starts runs until one was killed in the moment, and returns its directory.
func killedIn(t *testing.T, m moment) (out string) {
	t.Helper()
	const attempts = 8 // a moment of microseconds can be missed
	for range attempts {
		out = filepath.Join(t.TempDir(), "run")
		r := watch(t, process(t, killedArgs(t, out, 1)...), out)
		if r.stopIn(m) {
			r.kill()
			if !m.at(disk(out)) {
				t.Fatal("the disk changed while the process was stopped")
			}
			return out
		}
		if code := r.code(); code != 0 {
			t.Fatalf("exit code %d\n%s", code, r.said())
		}
	}
	t.Fatalf("none of %d runs was met in it", attempts)
	return ""
}

// tear takes the end of a file's last line away.
func tear(t *testing.T, path string) {
	t.Helper()
	b := content(t, path)
	last := len(b) - bytes.LastIndexByte(b[:len(b)-1], '\n')
	if err := os.Truncate(path, int64(len(b)-last/2)); err != nil {
		t.Fatal(err)
	}
}

// goOnAndCompare resumes the run in out, where there is one yet, and holds it to the undisturbed one.
func goOnAndCompare(t *testing.T, whole, out string) {
	t.Helper()
	cmd := process(t, "run", "--resume", "--out", out)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("resumed: %v\n%s", err, said)
	}
	sameRun(t, whole, out, killedSteps)
	everyRowOnce(t, out, killedSteps, 4)
	leftovers(t, out)
}

// leftovers fails for temporary files in a run directory.
func leftovers(t *testing.T, out string) {
	t.Helper()
	found, err := exec.CommandContext(t.Context(), "find", out, "-name", ".*").Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		t.Errorf("left behind: %s", strings.Fields(string(found)))
	}
}
