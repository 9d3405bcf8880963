package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/justrl/justrl/benchmarks/perf/measure"
)

// report is all that was measured; a check that was not asked for is nil.
type report struct {
	Date     string          `json:"date"`
	Machine  measure.Machine `json:"machine"`
	Threads  int             `json:"threads"`
	Contests []*contest      `json:"contests"`
	FLOPs    *flopsResult    `json:"flops"`
	Memory   *memoryResult   `json:"memory"`
	Steady   *steadyResult   `json:"steady"`
}

// bounds are what docs/measurements.md promises: ours at least so many times as fast,
// and its memory at most this share of theirs (0: no promise).
var bounds = map[string]struct{ speed, growth float64 }{
	trl:  {speed: 12},
	verl: {speed: 1.3, growth: 0.6},
	best: {speed: 1.05, growth: 0.8},
}

// mayTake is the cores that the rest of the machine may take before the report says so.
const mayTake = 0.1

func (r *report) head(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%d threads of %d cores, %s, %s; %s; float32\n", r.Threads, r.Machine.Cores, r.Machine.Processor, r.Machine.System, r.Date)
	return err
}

func (r *report) disagree() bool {
	return slices.ContainsFunc(r.Contests, func(c *contest) bool {
		return slices.ContainsFunc(c.Entries, func(e *entry) bool { return e.Differ != "" })
	})
}

// write prints the contest as a table, ours first.
func (c *contest) write(out io.Writer) error {
	fmt.Fprintf(out, "\n%s, %.1f M parameters: a step is %d problems × %d rollouts, %d tokens (%d of responses), %d updates; packs of %d tokens, recompute %s\n",
		c.Model, float64(c.Parameters)/1e6, c.Problems, perGroup, c.Tokens, c.Responses, len(c.Entries[0].First.Losses), c.PackTokens, onOff(c.Recompute))
	fmt.Fprintf(out, "medians of %s in turns (lowest to highest)\n", rounds(c.Pairs))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  \ttokens/s\tours is × as fast\tbound\t\tthe same, first old log-probs spared\tRSS loaded, MB\tgrowth, MB\tours / its\tbound\t")
	for i, e := range c.Entries {
		fmt.Fprintf(w, "  %s\t%s", e.Name, c.speed(e).Text(0))
		if i == 0 {
			fmt.Fprintf(w, "\t\t\t\t\t%d\t%d\t\t\t\n", e.Loaded>>20, e.Growth>>20)
			continue
		}
		b, ratio, spared := bounds[e.Name], c.ratio(e, false), "–"
		if e.First.FirstOldSeconds > 0 {
			spared = c.ratio(e, true).Text(2)
		}
		fmt.Fprintf(w, "\t%s\t≥ %g\t%s\t%s\t%d\t%d\t%.2f", ratio.Text(2), b.speed, c.verdict(e, b.speed), spared, e.Loaded>>20, e.Growth>>20, c.growth(e))
		if b.growth > 0 {
			fmt.Fprintf(w, "\t≤ %g\t%s\n", b.growth, verdict(c.growth(e) <= b.growth))
		} else {
			fmt.Fprintln(w, "\t\t")
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, e := range c.Entries[1:] {
		if e.Differ != "" {
			fmt.Fprintf(out, "  %s and %s DISAGREE: %s\n", ours, e.Name, e.Differ)
		} else {
			a, b := c.Entries[0].First, e.First
			fmt.Fprintf(out, "  %d updates agree, the first: loss %+.7g here, %+.7g in %s; gradient norm %.7g and %.7g\n", len(a.Losses), a.Losses[0], b.Losses[0], e.Name, a.GradNorms[0], b.GradNorms[0])
		}
	}
	if c.ForeignCores > mayTake {
		fmt.Fprintf(out, "  NOT A QUIET MACHINE: others took %.2f cores meanwhile; measure again\n", c.ForeignCores)
	}
	return nil
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func verdict(reached bool) string {
	if reached {
		return "reached"
	}
	return "MISSED"
}
