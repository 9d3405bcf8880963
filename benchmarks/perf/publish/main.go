// Command publish measures how fast a snapshot is written, as a ratio to a plain
// copy of the same bytes: the two take turns, pair after pair, on one disk.
//
// The snapshot goes the way of a run: the tensors are encoded one after the
// other, hashed twice while they are written (updater/safetensors: of the file,
// and by name), synced, and the folder is moved to its place
// (internal/atomicdir, bridge.Snapshots). They come from memory here; a run's
// come from libtorch, which copies each once more. The copy reads a file that is
// in the page cache, writes it beside itself and syncs it, and its folder.
//
// Two more say where a snapshot's time goes: the same file written and synced
// without any hash, and the two hashes without any file, on one core. What
// others had of the processors meanwhile is said too: it tells how much the
// ratio, which sets a copy by the kernel against work of processors, can mean.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
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
	back  bool
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
	f.BoolVar(&o.back, "backwards", false, "tensors against the order of their names, so that the hash by name reads them again")
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
	c, err := newContest(dir, o.mb, o.seed, o.back)
	if err != nil {
		return err
	}
	r := report{Machine: measure.ThisMachine(), MB: o.mb, Backwards: o.back}
	for i := range o.pairs + 1 {
		round, err := c.round(ctx, i)
		if err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		r.Rounds = append(r.Rounds, round)
		fmt.Fprintf(stderr, "pair %d: copy %.2f s, snapshot %.2f s, unhashed %.2f s, the sums alone %.2f s; others had %.0f %%\n",
			i, round.Copy.Clock, round.Snapshot.Clock, round.Unhashed.Clock, round.Sums.Clock, 100*round.Snapshot.Others)
	}
	r.spread()
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
	Machine   measure.Machine `json:"machine"`
	MB        int             `json:"mb"`
	Backwards bool            `json:"backwards"`
	Rounds    []round         `json:"rounds"`

	Copy     spreads        `json:"copy"`
	Snapshot spreads        `json:"snapshot"`
	Unhashed spreads        `json:"unhashed"`
	Sums     spreads        `json:"sums"`
	Ratio    measure.Spread `json:"ratio"` // of the speeds, the snapshot's: 1 is the copy's
	// UnhashedRatio is what Ratio would be if hashing were free.
	UnhashedRatio measure.Spread `json:"unhashed_ratio"`
}

// round is one turn of each.
type round struct {
	Copy     turn `json:"copy"`
	Snapshot turn `json:"snapshot"`
	Unhashed turn `json:"unhashed"`
	Sums     turn `json:"sums"`
}

// turn is what one took.
type turn struct {
	Clock float64 `json:"s"`
	CPU   float64 `json:"cpu_s"` // of this process, the kernel's part included
	// Others is the share of all processors that was spent on anything else:
	// other processes, and the kernel's own threads, that write to the disk.
	Others float64 `json:"others"`
}

// spreads are those of a turn's figures.
type spreads struct {
	Clock  measure.Spread `json:"s"`
	CPU    measure.Spread `json:"cpu_s"`
	Others measure.Spread `json:"others"`
}

func (r *report) spread() {
	of := func(what func(round) float64) measure.Spread {
		var all []float64
		for _, x := range r.Rounds {
			all = append(all, what(x))
		}
		return measure.SpreadOf(all)
	}
	each := func(who func(round) turn) spreads {
		return spreads{
			of(func(x round) float64 { return who(x).Clock }),
			of(func(x round) float64 { return who(x).CPU }),
			of(func(x round) float64 { return who(x).Others }),
		}
	}
	r.Copy = each(func(x round) turn { return x.Copy })
	r.Snapshot = each(func(x round) turn { return x.Snapshot })
	r.Unhashed = each(func(x round) turn { return x.Unhashed })
	r.Sums = each(func(x round) turn { return x.Sums })
	r.Ratio = of(func(x round) float64 { return x.Copy.Clock / x.Snapshot.Clock })
	r.UnhashedRatio = of(func(x round) float64 { return x.Copy.Clock / x.Unhashed.Clock })
}

func (r report) write(w io.Writer) error {
	line := func(name string, s spreads) string {
		return fmt.Sprintf("  %-22s %s s, of processors %s s, of which others had %s\n", name, s.Clock.Text(2), s.CPU.Text(2), s.Others.Text(2))
	}
	_, err := fmt.Fprintf(w, "%d MB of weights, %d pairs, %d cores (%s), median (lowest–highest)\n%s%s%s%s  snapshot's speed       %s of the copy's (at least %g); without hashes %s\n",
		r.MB, len(r.Rounds), r.Machine.Cores, r.Machine.Processor,
		line("copy, synced", r.Copy), line("snapshot, synced", r.Snapshot), line("the same, not hashed", r.Unhashed), line("its two hashes alone", r.Sums),
		r.Ratio.Text(2), least, r.UnhashedRatio.Text(2))
	return err
}

// timed is what do takes.
func timed(do func() error) (t turn, err error) {
	cpu, busy, began := spent(), measure.BusyCPU(), time.Now()
	err = do()
	t.Clock, t.CPU = time.Since(began).Seconds(), spent()-cpu
	t.Others = max(0, (measure.BusyCPU()-busy-t.CPU)/(t.Clock*float64(runtime.NumCPU())))
	return t, err
}

// spent is the processor time of this process so far, in seconds.
func spent() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
