//go:build torch

package e2e

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
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

// pages is how many a file of so many bytes has.
func pages(bytes int64) int64 { return (bytes + page - 1) / page }

// layout is what an undisturbed run needed of its disk, in pages. Runs of one seed
// write the same, but for some digits of times: its records leave a margin for those.
type layout struct {
	recorded, noticed           int   // a step whose record needs a page; one after which there is the first event
	recordedPages, noticedPages int64 // what the step writes before its record, before its event
	validatedPages              int64 // what the last validation writes
}

func layoutOf(t *testing.T, whole string) (l layout, ok bool) {
	t.Helper()
	const margin = 150
	for e, err := range journal.Lines[journal.Event](journal.EventsPath(whole)) {
		if err != nil {
			t.Fatal(err)
		}
		l.noticed = e.Step
		break
	}
	size := int64(0)
	for step, line := range bytes.SplitAfter(content(t, filepath.Join(whole, "steps.jsonl")), []byte("\n"))[:killedSteps] {
		rollouts := pages(int64(len(content(t, journal.RolloutsPath(whole, step)))))
		end := size + int64(len(line))
		more := pages(end) - pages(size)
		sure := pages(end-margin)-pages(size+margin) == more && pages(end+margin)-pages(size-margin) == more
		if step > 0 && sure && more == 1 && l.recorded == 0 {
			l.recorded, l.recordedPages = step, rollouts
		}
		if step > 0 && sure && step == l.noticed {
			l.noticedPages = rollouts + more
		}
		size = end
	}
	validated := content(t, filepath.Join(whole, "validation.jsonl"))
	before := bytes.LastIndexByte(validated[:len(validated)-1], '\n') + 1
	l.validatedPages = pages(int64(len(content(t, filepath.Join(whole, "eval", "step-000006", "few.jsonl"))))) + pages(int64(len(validated))) - pages(int64(before))
	best := readJSON[journal.Best](t, filepath.Join(whole, "checkpoints", "best.json"))
	return l, l.recordedPages > 0 && l.noticedPages > 0 && best.Steps < killedSteps // else best.json comes before the summary
}

// TestDiskFullAtEachWrite has the disk become full before each thing that a run
// writes: it ends with exit code 1 and one line that names the file and says what to
// do, leaves nothing half-written, and when there is room goes on to the same weights.
func TestDiskFullAtEachWrite(t *testing.T) {
	var whole string
	var l layout
	seed := 0
	for ok := false; !ok; {
		if seed++; seed > 6 {
			t.Fatal("no seed's run has its records where the disk can be full before each of them")
		}
		whole = filepath.Join(t.TempDir(), "whole"+strconv.Itoa(seed))
		must(t, killedArgs(t, whole, seed)...)
		l, ok = layoutOf(t, whole)
		t.Logf("seed %d: %+v, %t", seed, l, ok)
	}
	updating := moment{at: func(d disk) bool { return d.steps() == 3 && sampledNotPublished(d) }, phase: "update"}
	reloading := func(step int) moment {
		return moment{at: func(d disk) bool { return d.steps() == step && d.reloading() && d.pruned() }}
	}
	// Of the last one: nothing is sampled beside it, whose file would meet the full disk first.
	checkpointing := func(at func(d disk, half string) bool) moment {
		return moment{near: func(d disk) bool { return d.half("checkpoints", halfCheckpoint) }, at: func(d disk) bool {
			half, n := d.newest("checkpoints", halfCheckpoint)
			return half != "" && n == killedSteps && !d.has(half, "COMPLETE.pending") && at(d, half)
		}}
	}
	for _, c := range []struct {
		name  string
		when  moment
		pages int64  // that are left
		names string // the file that the last line is to name
	}{
		{"a rollout", moment{at: func(d disk) bool { return d.steps() == 1 && d.sampled() > 0 && d.sampled() < killedRollouts/2 }}, 0, ".partial.jsonl"},
		{"the version", updating, 0, "versions.json"},
		{"the weights", updating, 2, "snapshots/"},
		{"the weights, nearly whole", updating, 200, "snapshots/"},
		{"the step's rollouts", reloading(3), 0, ".parquet"},
		{"the step's record", reloading(l.recorded), l.recordedPages, "steps.jsonl"},
		{"an event", reloading(l.noticed), l.noticedPages, "events.jsonl"},
		{"the answers to held-out problems", moment{at: func(d disk) bool { return d.steps() == 3 && d.sampled() == 0 && !d.has("eval", "step-000003") }, phase: "validate"}, 0, "eval/step-000003"},
		{"a checkpoint's weights", checkpointing(func(d disk, half string) bool { return !d.has(half, "model.safetensors") }), 0, "checkpoints/"},
		{"a checkpoint's state", checkpointing(func(d disk, half string) bool {
			return d.has(half, "model.safetensors") && !d.has(half, "trainer", "optimizer.safetensors")
		}), 0, "trainer/optimizer.safetensors"},
		{"a checkpoint's marker", checkpointing(func(d disk, half string) bool { return d.has(half, "trainer", "progress.json") }), 0, "checkpoints/step-"},
		{"the summary", moment{at: func(d disk) bool {
			return d.steps() == killedSteps && d.has("checkpoints", "step-000006", "COMPLETE") && !d.has("eval", "step-000006")
		}, phase: "validate"}, l.validatedPages, "summary.json"},
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
				if r = watch(t, process(t, killedArgs(t, out, seed)...), out); r.stopIn(c.when) {
					break
				}
				if code := r.code(); code != 0 {
					t.Fatalf("exit code %d\n%s", code, r.said())
				}
			}
			if held, err := os.Open(filepath.Join(out, disk(out).rollouts(".partial.jsonl"))); err == nil {
				defer held.Close() // it is removed when the step's rollouts are written; that is to free nothing
			}
			room = fill(t, diskDir, c.pages)
			before := state(out)
			r.goOn()
			code, line := r.code(), r.lastLine()
			t.Logf("full at %s: %s", before, line)
			if code != cli.ExitFailed || !strings.HasPrefix(line, "justrl: ") || !strings.Contains(line, c.names) || !strings.Contains(line, "the disk is full; free some space") || !strings.Contains(line, "justrl r") {
				t.Errorf("exit code %d, last line %q; want one that names %s and says what to do", code, line, c.names)
			}
			leftovers(t, out)
			for _, name := range []string{"steps.jsonl", "validation.jsonl", "events.jsonl"} {
				if b := disk(out).content(name); len(b) > 0 && !bytes.HasSuffix(b, []byte("\n")) {
					t.Errorf("%s ends in %q", name, b[max(0, len(b)-40):])
				}
			}
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
