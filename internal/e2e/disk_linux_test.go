//go:build torch

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/justrl/justrl/orchestrator/journal"
)

// disk is what a run directory shows of where its run is: nothing but files. A file
// that goes while it is looked at is one that is not there.
type disk string

// content is a file's; nil if there is none.
func (d disk) content(parts ...string) []byte {
	b, err := os.ReadFile(filepath.Join(append([]string{string(d)}, parts...)...))
	if err != nil {
		return nil
	}
	return b
}

func (d disk) has(parts ...string) bool {
	_, err := os.Stat(filepath.Join(append([]string{string(d)}, parts...)...))
	return err == nil
}

// steps is how many are recorded, and so the number of the one that is done.
func (d disk) steps() int { return bytes.Count(d.content("steps.jsonl"), []byte("\n")) }

func (d disk) rollouts(ending string) string { return d.rolloutsOf(d.steps(), ending) }

func (d disk) rolloutsOf(step int, ending string) string {
	return filepath.Join("rollouts", strings.TrimSuffix(filepath.Base(journal.RolloutsPath(string(d), step)), ".parquet")+ending)
}

// sampled is how many rollouts the step that is done has in its partial file.
func (d disk) sampled() int {
	return bytes.Count(d.content(d.rollouts(".partial.jsonl")), []byte("\n"))
}

// drawnFrom is the version of the weights that the newest of them was drawn from.
func (d disk) drawnFrom() int64 {
	all := bytes.Split(d.content(d.rollouts(".partial.jsonl")), []byte("\n"))
	var r journal.Rollout
	if len(all) < 2 || json.Unmarshal(all[len(all)-2], &r) != nil {
		return 0
	}
	return r.WeightsVersion
}

// version is the highest that was handed out.
func (d disk) version() int64 {
	var v struct{ Last int64 }
	_ = json.Unmarshal(d.content("versions.json"), &v)
	return v.Last
}

var (
	checkpointName = regexp.MustCompile(`^step-([0-9]+)$`)
	snapshotName   = regexp.MustCompile(`^version-([0-9]+)$`)
	halfCheckpoint = regexp.MustCompile(`^\.step-([0-9]+)\.tmp-`)
	halfSnapshot   = regexp.MustCompile(`^\.version-([0-9]+)\.tmp-`)
	halfParquet    = regexp.MustCompile(`^\.step-([0-9]+)\.parquet-[0-9]+$`)
)

// newest is the entry of a folder whose name has the highest number; "" if there is none.
func (d disk) newest(dir string, name *regexp.Regexp) (path string, number int) {
	number = -1
	entries, _ := os.ReadDir(filepath.Join(string(d), dir))
	for _, e := range entries {
		if m := name.FindStringSubmatch(e.Name()); m != nil {
			if n, _ := strconv.Atoi(m[1]); n > number {
				path, number = filepath.Join(dir, e.Name()), n
			}
		}
	}
	return path, number
}

func (d disk) half(dir string, name *regexp.Regexp) bool {
	path, _ := d.newest(dir, name)
	return path != ""
}

// unmarked tells whether the newest of a folder of published folders is at its place
// and not marked as complete. (One that is being removed is unmarked too, but old.)
func (d disk) unmarked(dir string, name *regexp.Regexp) bool {
	path, _ := d.newest(dir, name)
	return path != "" && d.has(path, "COMPLETE.pending") && !d.has(path, "COMPLETE")
}

// pruned: no more snapshots are there than publish.keep says, so that none is about to go.
func (d disk) pruned() bool {
	all, _ := filepath.Glob(filepath.Join(string(d), "snapshots", "*"))
	return len(all) <= 2
}

// reloading: the newest version's snapshot is complete, and no rollout was drawn from it.
func (d disk) reloading() bool {
	path, number := d.newest("snapshots", snapshotName)
	return path != "" && d.has(path, "COMPLETE") && int64(number) == d.version() && d.sampled() > 0 && d.drawnFrom() < d.version() &&
		!d.has(d.rollouts(".parquet")) && !d.half("rollouts", halfParquet)
}
