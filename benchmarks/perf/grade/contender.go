package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/justrl/justrl/benchmarks/perf/measure"
)

// contender is a command.
type contender struct {
	name    string
	command []string
}

// outcome is what a command took.
type outcome struct {
	wall, cpu time.Duration
	peak      int64 // bytes resident at most
}

func (c contender) run(ctx context.Context) (o outcome, err error) {
	cmd := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = io.Discard, &text
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return o, fmt.Errorf("%s: %w: %.500s", c.name, err, text.String())
	}
	o.wall = time.Since(began)
	o.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		o.peak = u.Maxrss << 10 // Linux counts in kilobytes
	}
	return o, nil
}

type report struct {
	Machine    measure.Machine `json:"machine"`
	Files      int             `json:"files"`
	Bytes      int64           `json:"bytes"`
	Contenders []line          `json:"contenders"`
	Pairs      *duel           `json:"pairs,omitempty"`
}

// line is a contender in the report. A ratio is of one round.
type line struct {
	Name    string         `json:"name"`
	Rate    measure.Spread `json:"mb_per_s"`
	OfWC    measure.Spread `json:"of_wc"`     // its speed by that of wc
	OfWCCPU measure.Spread `json:"of_wc_cpu"` // the same of processor time
	Peak    int64          `json:"peak_bytes"`
}

func lineOf(name string, runs, wc []outcome, bytes int64) line {
	l := line{Name: name}
	var rate, of, cpu []float64
	for i, r := range runs {
		rate = append(rate, float64(bytes)/1e6/r.wall.Seconds())
		of = append(of, wc[i].wall.Seconds()/r.wall.Seconds())
		cpu = append(cpu, wc[i].cpu.Seconds()/r.cpu.Seconds())
		l.Peak = max(l.Peak, r.peak)
	}
	l.Rate, l.OfWC, l.OfWCCPU = measure.SpreadOf(rate), measure.SpreadOf(of), measure.SpreadOf(cpu)
	return l
}

func (r report) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "%d files, %d MB, %d cores (%s)\n", r.Files, r.Bytes/1e6, r.Machine.Cores, r.Machine.Processor)
	_, _ = fmt.Fprintln(t, "\tMB/s\tof wc's speed\tof wc's, by processor time\tpeak memory, MiB")
	for _, l := range r.Contenders {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\n", l.Name, l.Rate.Text(0), l.OfWC.Text(2), l.OfWCCPU.Text(2), l.Peak>>20)
	}
	if err := t.Flush(); err != nil || r.Pairs == nil {
		return err
	}
	return r.Pairs.write(w)
}

// held tells which bars were not.
func (r report) held() error {
	if r.Pairs != nil {
		if err := r.Pairs.held(); err != nil {
			return err
		}
	}
	for _, l := range r.Contenders {
		switch {
		case l.Name == "read" && l.OfWC.Median < leastOfWC:
			return fmt.Errorf("reading has %.2f of wc's speed, less than %.2f", l.OfWC.Median, leastOfWC)
		case l.Name != "wc" && l.Peak > mostBytes:
			return fmt.Errorf("%s had %d MiB resident, more than %d", l.Name, l.Peak>>20, mostBytes>>20)
		}
	}
	return nil
}
