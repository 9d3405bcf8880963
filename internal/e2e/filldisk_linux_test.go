//go:build torch

package e2e

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/internal/cli"
	"github.com/justrl/justrl/orchestrator/journal"
)

// page is what a file of a tmpfs grows by.
const page = 4096

// smallDisk mounts a tmpfs that is not full by itself until the test ends.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("SKIPPED: a tmpfs cannot be mounted here (root is needed): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves pages free of what dir's disk has; the function makes room again.
func fill(t *testing.T, dir string, pages int64) (room func()) {
	t.Helper()
	path := filepath.Join(dir, "somebody-elses")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for block := make([]byte, page); err == nil; {
		var n int
		n, err = f.Write(block)
		size += int64(n)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk does not become full: %v", err)
	}
	if err := errors.Join(f.Truncate(size-pages*page), f.Close()); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// slack is how much a file grows without another page.
func (d disk) slack(name string) int { return (page - len(d.content(name))%page) % page }

// lineLength is that of the last line of steps.jsonl, and about that of the next.
func (d disk) lineLength() int {
	b := bytes.TrimSuffix(d.content("steps.jsonl"), []byte("\n"))
	return len(b) - bytes.LastIndexByte(b, '\n')
}

// TestDiskFullAtEachWrite has the disk become full before each thing that a run
// writes: it ends with exit code 1 and one line that names the file and says what to
// do, leaves nothing half-written, and when there is room goes on to the same weights.
func TestDiskFullAtEachWrite(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	must(t, killedArgs(t, whole)...)
	updating := moment{at: func(d disk) bool { return d.steps() == 3 && sampledNotPublished(d) }, phase: "update"}
	written := func(more func(disk) bool) moment { // the step's rollouts are, its record is not
		return moment{near: nearRecord, at: func(d disk) bool {
			return d.steps() > 1 && d.has(d.rollouts(".parquet")) && !d.has(d.rollouts(".partial.jsonl")) && !d.half("rollouts", halfParquet) && more(d)
		}}
	}
	checkpointing := moment{near: func(d disk) bool { return d.half("checkpoints", halfCheckpoint) }, at: func(d disk) bool {
		path, n := d.newest("checkpoints", halfCheckpoint)
		return n < killedSteps && path != "" && !d.has(path, "COMPLETE.pending") && !d.has(path, "trainer")
	}}
	for _, c := range []struct {
		name  string
		when  moment
		pages int64  // that are left
		names string // the file that the last line is to name
	}{
		{"a rollout", moment{at: func(d disk) bool { return d.steps() == 1 && d.sampled() > 0 && d.sampled() < killedRollouts/2 }}, 0, ".partial.jsonl"},
		{"the version", updating, 0, "versions.json"},
		{"the weights", updating, 2, "snapshots/version-"},
		{"the weights, nearly whole", updating, 200, "snapshots/version-"},
		{"the step's rollouts", moment{at: func(d disk) bool { return d.steps() == 3 && d.reloading() }}, 0, ".parquet"},
		{"the step's record", written(func(d disk) bool { return d.slack("steps.jsonl") < d.lineLength()/2 }), 0, "steps.jsonl"},
		{"an event", written(func(d disk) bool { return d.slack("steps.jsonl") > d.lineLength()*2 && !d.has("events.jsonl") }), 0, "events.jsonl"},
		{"the answers to held-out problems", moment{at: func(d disk) bool { return d.steps() == 2 && d.sampled() == 0 && !d.has("eval", "step-000002") }, phase: "validate"}, 0, "eval/step-000002"},
		{"a checkpoint's weights", checkpointing, 0, "checkpoints/step-"},
		{"a checkpoint's state", checkpointing, 500, "checkpoints/step-"},
		{"the summary", moment{near: func(d disk) bool { return d.steps() == killedSteps }, at: func(d disk) bool {
			return d.steps() == killedSteps && d.has("checkpoints", "step-000006", "COMPLETE") && !d.has("summary.json")
		}}, 0, "summary.json"},
		{"the report", moment{near: func(d disk) bool { return d.steps() == killedSteps }, at: func(d disk) bool { return d.has("summary.json") && !d.has("report.html") }}, 0, "report"},
	} {
		t.Run(c.name, func(t *testing.T) {
			diskDir := smallDisk(t)
			out := filepath.Join(diskDir, "run")
			var r *watchedRun
			var room func()
			for attempt := 0; ; attempt++ {
				if attempt == 8 {
					t.Fatal("no run was met in the moment")
				}
				if err := os.RemoveAll(out); err != nil {
					t.Fatal(err)
				}
				if r = watch(t, process(t, killedArgs(t, out)...), out); r.stopIn(c.when) {
					break
				}
				if code := r.code(); code != 0 {
					t.Fatalf("exit code %d\n%s", code, r.said())
				}
			}
			room = fill(t, diskDir, c.pages)
			before := state(out)
			r.goOn()
			code, line := r.code(), r.lastLine()
			t.Logf("full at %s: %s", before, line)
			if code != cli.ExitFailed || !strings.Contains(line, c.names) || !strings.Contains(line, "the disk is full; free some space") || !strings.Contains(line, "justrl r") {
				t.Errorf("exit code %d, last line %q; want one that names %s and says what to do", code, line, c.names)
			}
			leftovers(t, out)
			for _, err := range journal.Lines[journal.Step](journal.StepsPath(out)) {
				if err != nil {
					t.Error(err)
				}
			}
			room()
			goOnAndCompare(t, whole, out)
		})
	}
}
