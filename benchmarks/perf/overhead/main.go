// Command overhead measures what a run spends on writing down and showing what it
// does: the journal (the rollouts as they finish, parquet, steps.jsonl, versions.json),
// TensorBoard's file, the metrics, /metrics read once for each second that the step
// took, and the page with a browser that follows it: its stream, at two states a second,
// and the curves, answers and events that it asks for after a step.
//
// The two take turns in one run of the shipped policy: after each of its steps the run
// is stopped, and the same code writes that step's rollouts, record and figures once
// more, into a directory beside the run's, on the same disk, with nothing else to do;
// then the run goes on. What that took, by the clock (syncs included) and of
// processors, is set against what the step took. In a run part of the waiting is beside
// sampling, so that by the clock this is the most that it can cost. What a run looks at for its
// monitor is told from the step's own record (timing_s/monitor), by the clock alone.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/justrl/justrl/benchmarks/perf/measure"
)

// most is the bar: of the step's time.
const most = 0.02

func main() { measure.Main("overhead", run) }

type options struct {
	justrl, model, data, dir string
	steps                    int
	json                     bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	var o options
	f := flag.NewFlagSet("overhead", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.justrl, "justrl", "bin/justrl", "the `PROGRAM`")
	f.StringVar(&o.model, "model", "examples/arithmetic/policy", "`DIR` of the policy")
	f.StringVar(&o.data, "data", "examples/arithmetic/train.jsonl", "`FILE` of problems")
	f.StringVar(&o.dir, "dir", "", "`DIR` on the disk to write to (default: TMPDIR)")
	f.IntVar(&o.steps, "steps", 20, "steps, the first of which warms up")
	f.BoolVar(&o.json, "json", false, "write one JSON object instead of a table")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.steps < 3 {
		return errors.New("--steps is at least 3, and there are no words")
	}
	dir, err := os.MkdirTemp(o.dir, "justrl-bench-overhead")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	turns, err := measured(ctx, o, filepath.Join(dir, "run"), filepath.Join(dir, "again"), stderr)
	if err != nil {
		return err
	}
	r := summarize(turns)
	if o.json {
		err = json.NewEncoder(stdout).Encode(r)
	} else {
		err = r.write(stdout)
	}
	if worst := max(r.Clock.Median, r.CPU.Median); err == nil && !(worst <= most) {
		err = fmt.Errorf("journal, metrics and page take %.2f %% of a step, at most %g %% is wanted", 100*worst, 100*most)
	}
	return err
}

// report is what was measured.
type report struct {
	Machine measure.Machine `json:"machine"`
	Turns   []turn          `json:"turns"`

	Step    measure.Spread `json:"step_s"`
	StepCPU measure.Spread `json:"step_cpu_s"`
	Clock   measure.Spread `json:"clock"`   // of the step's seconds
	CPU     measure.Spread `json:"cpu"`     // of the step's seconds of processors
	Monitor measure.Spread `json:"monitor"` // of the step's seconds: what is looked at for it
	Parts   []part         `json:"parts"`
}

// part is one of the things that are written, in seconds a step.
type part struct {
	Name  string         `json:"name"`
	Clock measure.Spread `json:"s"`
	CPU   measure.Spread `json:"cpu_s"`
}

func summarize(turns []turn) report {
	of := func(what func(turn) float64) measure.Spread {
		var all []float64
		for _, t := range turns {
			all = append(all, what(t))
		}
		return measure.SpreadOf(all)
	}
	r := report{Machine: measure.ThisMachine(), Turns: turns}
	r.Step = of(func(t turn) float64 { return t.Step })
	r.StepCPU = of(func(t turn) float64 { return t.StepCPU })
	r.Clock = of(func(t turn) float64 { return t.total().Clock / t.Step })
	r.CPU = of(func(t turn) float64 { return t.total().CPU / t.StepCPU })
	r.Monitor = of(func(t turn) float64 { return t.Monitor / t.Step })
	for i, p := range turns[0].Parts {
		r.Parts = append(r.Parts, part{
			p.Name, of(func(t turn) float64 { return t.Parts[i].Clock }), of(func(t turn) float64 { return t.Parts[i].CPU }),
		})
	}
	return r
}

func (r report) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "%d steps, median (lowest–highest)\tms by the clock\tms of processors\n", len(r.Turns))
	ms := func(s measure.Spread) string {
		return measure.Spread{Median: 1e3 * s.Median, Min: 1e3 * s.Min, Max: 1e3 * s.Max}.Text(2)
	}
	percent := func(s measure.Spread) string {
		return measure.Spread{Median: 100 * s.Median, Min: 100 * s.Min, Max: 100 * s.Max}.Text(2) + " %"
	}
	for _, p := range r.Parts {
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.Name, ms(p.Clock), ms(p.CPU))
	}
	fmt.Fprintf(w, "a step\t%s\t%s\n", ms(r.Step), ms(r.StepCPU))
	fmt.Fprintf(w, "journal, metrics and page, of a step\t%s\t%s\n", percent(r.Clock), percent(r.CPU))
	fmt.Fprintf(w, "what is looked at for the monitor, of a step\t%s\t\n", percent(r.Monitor))
	return w.Flush()
}
