// Command publish measures how fast a snapshot is written, as a ratio to a plain
// copy of the same bytes: the two take turns, pair after pair, on one disk.
//
// The snapshot goes the way of a run: the tensors are encoded one after the
// other (updater/safetensors), every file is hashed and synced, the weights are
// hashed by name, and the folder is moved to its place (internal/atomicdir,
// bridge.Snapshots). They come from memory here; a run's come from libtorch,
// which copies each once more. The copy reads a file that is in the page cache,
// writes it beside itself and syncs it, and its folder.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/benchmarks/perf/measure"
)

// least is the bar: of the copy's speed.
const least = 0.8

func main() { measure.Main("publish", run) }

type options struct {
	dir   string
	mb    int
	pairs int
	seed  uint64
	json  bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	var o options
	f := flag.NewFlagSet("publish", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.dir, "dir", "", "`DIR` on the disk to measure (default: TMPDIR)")
	f.IntVar(&o.mb, "mb", 500, "size of the weights in MB, held in memory, and three times on the disk")
	f.IntVar(&o.pairs, "pairs", 7, "measured pairs, after one that warms up")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the weights")
	f.BoolVar(&o.json, "json", false, "write one JSON object instead of a table")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.mb < 1 || o.pairs < 1 {
		return errors.New("--mb and --pairs are at least 1, and there are no words")
	}
	dir, err := os.MkdirTemp(o.dir, "justrl-bench-publish")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, err := newContest(dir, o.mb, o.seed)
	if err != nil {
		return err
	}
	r := report{Machine: measure.ThisMachine(), MB: o.mb}
	var copies, snapshots, ratios, copyCPU, snapshotCPU []float64
	for i := range o.pairs + 1 {
		pair, err := c.pair(ctx, i)
		if err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		r.Pairs = append(r.Pairs, pair)
		copies, snapshots, ratios = append(copies, pair.Copy), append(snapshots, pair.Snapshot), append(ratios, pair.Copy/pair.Snapshot)
		copyCPU, snapshotCPU = append(copyCPU, pair.CopyCPU), append(snapshotCPU, pair.SnapshotCPU)
		fmt.Fprintf(stderr, "pair %d: copy %.2f s, snapshot %.2f s\n", i, pair.Copy, pair.Snapshot)
	}
	r.Copy, r.Snapshot, r.Ratio = measure.SpreadOf(copies), measure.SpreadOf(snapshots), measure.SpreadOf(ratios)
	r.CopyCPU, r.SnapshotCPU = measure.SpreadOf(copyCPU), measure.SpreadOf(snapshotCPU)
	if o.json {
		err = json.NewEncoder(stdout).Encode(r)
	} else {
		err = r.write(stdout)
	}
	if err == nil && r.Ratio.Median < least {
		err = fmt.Errorf("a snapshot is written at %.2f of a copy's speed, want %g", r.Ratio.Median, least)
	}
	return err
}

// report is what was measured.
type report struct {
	Machine  measure.Machine `json:"machine"`
	MB       int             `json:"mb"`
	Pairs    []pair          `json:"pairs"`
	Copy     measure.Spread  `json:"copy_s"`
	Snapshot measure.Spread  `json:"snapshot_s"`
	Ratio    measure.Spread  `json:"ratio"` // of the speeds: 1 is the copy's
	// CopyCPU and SnapshotCPU are processor seconds, the kernel's included: on a
	// machine that is busy with other things they decide, not the disk.
	CopyCPU     measure.Spread `json:"copy_cpu_s"`
	SnapshotCPU measure.Spread `json:"snapshot_cpu_s"`
}

// pair is one turn of each, in seconds.
type pair struct {
	Copy     float64 `json:"copy_s"`
	Snapshot float64 `json:"snapshot_s"`

	CopyCPU     float64 `json:"copy_cpu_s"`
	SnapshotCPU float64 `json:"snapshot_cpu_s"`
}

func (r report) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d MB of weights, %d pairs, %d cores (%s), median (lowest–highest)\n  copy, synced      %s s, of processors %s s\n  snapshot, synced  %s s, of processors %s s\n  snapshot's speed  %s of the copy's (at least %g)\n",
		r.MB, len(r.Pairs), r.Machine.Cores, r.Machine.Processor, r.Copy.Text(2), r.CopyCPU.Text(2), r.Snapshot.Text(2), r.SnapshotCPU.Text(2), r.Ratio.Text(2), least)
	return err
}

// timed is how long do takes, in seconds of the clock and of processors.
func timed(do func() error) (clock, cpu float64, err error) {
	before := spent()
	began := time.Now()
	err = do()
	return time.Since(began).Seconds(), spent() - before, err
}

// spent is the processor time of this process so far, in seconds.
func spent() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
