// Command update measures the updater against what people would use instead,
// as ratios of steps that were taken in turns: same weights, same rollouts of
// very different lengths, same threads, float32, same tokens a pack. A step is
// the old log-probs, and for each mini-batch forward, backward and optimizer.
//
// Each contender is a process of its own that loads, says so, and sleeps until
// it is asked for a step; what it prints is described in contender.py. Loading
// and exporting are measured for none. That they compute the same thing is
// checked on the losses and the gradient norms of all updates of their first step.
//
// Beside the contest there are three questions that the updater answers alone:
// its share of libtorch's rate for matrix products, what a pack takes in memory
// by its tokens, and whether memory grows over thousands of updates.
//
// Deliberately absent: sampling (benchmarks/perf/serve measures it) and GPUs.
package main

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/justrl/justrl/benchmarks/perf/measure"
)

//go:embed *.py
var scripts embed.FS

// errDisagree is found when all is measured: somebody computes something else,
// and the ratios mean nothing.
var errDisagree = errors.New("contenders disagree: see the report")

func main() { measure.Main("update", run) }

// options are the command's flags.
type options struct {
	ours, python string
	models       []string
	contenders   []string // nil: each model's own
	checks       []string
	pairs        int
	trlPairs     int
	problems     int // 0: the model's own
	miniBatch    int // 0: the model's own
	packTokens   int // 0: the model's own
	recompute    bool
	threads      int
	seed         uint64
	policy       string
	updates      int
	json         string
	work         string // folder for what is made, removed at the end
}

// The checks.
const (
	speedCheck  = "speed"
	flopsCheck  = "flops"
	memoryCheck = "memory"
	steadyCheck = "steady"
)

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("update", flag.ContinueOnError)
	f.SetOutput(stderr)
	list := func(to *[]string, names ...string) func(string) error {
		return func(s string) error {
			*to = strings.Fields(strings.ReplaceAll(s, ",", " "))
			for _, name := range *to {
				if len(names) > 0 && !slices.Contains(names, name) {
					return fmt.Errorf("%q is none of %s", name, strings.Join(names, ", "))
				}
			}
			return nil
		}
	}
	o.models = []string{"tiny", "qwen-vocab", "smol135m"}
	o.checks = []string{speedCheck, flopsCheck, memoryCheck, steadyCheck}
	f.StringVar(&o.ours, "ours", "", "the updater's contender, `PROGRAM` built from benchmarks/perf/update/ours (required)")
	f.StringVar(&o.python, "python", "", "`PYTHON` with torch, transformers and trl (required)")
	f.Func("models", "`LIST` of tiny, qwen-vocab, smol135m, or folders of models (default: those three)", list(&o.models))
	f.Func("contenders", "`LIST` of trl, verl, best (default: tiny all, qwen-vocab verl and best, others best)", list(&o.contenders, trl, verl, best))
	f.Func("checks", "`LIST` of speed, flops, memory, steady (default: all)", list(&o.checks, speedCheck, flopsCheck, memoryCheck, steadyCheck))
	f.IntVar(&o.pairs, "pairs", 5, "measured rounds of steps in turns")
	f.IntVar(&o.trlPairs, "trl-pairs", 5, "measured rounds against trl")
	f.IntVar(&o.problems, "problems", 0, "problems a step, 8 rollouts each (default: tiny 16, others 4)")
	f.IntVar(&o.miniBatch, "mini-batch", 0, "problems an optimizer update (default: a quarter of the problems)")
	f.IntVar(&o.packTokens, "pack-tokens", 0, "tokens a pack of every contender (default: tiny 4096, others 2048)")
	f.BoolVar(&o.recompute, "recompute", false, "every contender runs layers again in the backward pass")
	f.IntVar(&o.threads, "threads", 2, "threads of every contender")
	f.Uint64Var(&o.seed, "seed", 1, "seed of weights and rollouts")
	f.StringVar(&o.policy, "policy", "", "`DIR` of the model of the check steady")
	f.IntVar(&o.updates, "updates", 2000, "updates of the check steady")
	f.StringVar(&o.json, "json", "", "write all that was measured into `FILE` too")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	return o, o.validate(f.Args())
}

func (o options) validate(rest []string) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(rest) > 0 {
		bad("unexpected argument %q", rest[0])
	}
	if o.ours == "" || o.python == "" {
		bad("--ours and --python are required")
	}
	if slices.Contains(o.checks, steadyCheck) && o.policy == "" {
		bad("--policy is required by the check steady")
	}
	for _, x := range []struct {
		name     string
		n, least int
	}{
		{"pairs", o.pairs, 1}, {"trl-pairs", o.trlPairs, 1}, {"threads", o.threads, 1}, {"updates", o.updates, steadyEvery},
		{"problems", o.problems, 0}, {"mini-batch", o.miniBatch, 0}, {"pack-tokens", o.packTokens, 0},
	} {
		if x.n < x.least {
			bad("--%s must be at least %d, is %d", x.name, x.least, x.n)
		}
	}
	for _, m := range o.models {
		if _, ok := presets[m]; !ok {
			if _, err := os.Stat(filepath.Join(m, "config.json")); err != nil {
				bad("--models: %s is none of tiny, qwen-vocab, smol135m and no model's folder", m)
			}
		}
	}
	return errors.Join(errs...)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.work, err = os.MkdirTemp("", "justrl-update."); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.work)) }()
	if err := os.CopyFS(o.work, scripts); err != nil {
		return err
	}
	r := report{Date: time.Now().UTC().Format(time.DateOnly), Machine: measure.ThisMachine(), Threads: o.threads}
	if err := o.measure(ctx, &r, stdout, stderr); err != nil {
		return err
	}
	if r.disagree() {
		return errDisagree
	}
	return nil
}

// save writes all that has been measured so far, if a file is wanted: what comes
// later may take an hour, or fail.
func (o options) save(r *report) error {
	if o.json == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(b, '\n'), 0o644)
}

// measure runs the checks, and prints and saves each one's part of the report as
// it is there.
func (o options) measure(ctx context.Context, r *report, stdout, stderr io.Writer) error {
	if err := r.head(stdout); err != nil {
		return err
	}
	for _, check := range o.checks {
		var err error
		switch check {
		case speedCheck:
			err = o.speed(ctx, r, stdout, stderr)
		case flopsCheck:
			if r.FLOPs, err = o.flops(ctx, stderr); err == nil {
				err = r.FLOPs.write(stdout)
			}
		case memoryCheck:
			if r.Memory, err = o.memory(ctx, stderr); err == nil {
				err = r.Memory.write(stdout)
			}
		case steadyCheck:
			if r.Steady, err = o.steady(ctx, stderr); err == nil {
				err = r.Steady.write(stdout)
			}
		}
		if err == nil {
			err = o.save(r)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", check, err)
		}
	}
	return nil
}

// speed holds the contests of all models: those whose steps are short together,
// TRL, whose step is ten times as long, apart from them.
func (o options) speed(ctx context.Context, r *report, stdout, stderr io.Writer) error {
	for _, name := range o.models {
		p, ok := presets[name]
		if !ok {
			p = presets["smol135m"]
		}
		names := p.contenders
		if o.contenders != nil {
			names = o.contenders
		}
		problems := cmp.Or(o.problems, p.problems)
		quick := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == trl })
		slow := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n != trl })
		for _, part := range []struct {
			names []string
			pairs int
		}{{quick, o.pairs}, {slow, o.trlPairs}} {
			if len(part.names) == 0 {
				continue
			}
			w, err := o.prepare(name, problems, cmp.Or(o.miniBatch, max(1, problems/4)))
			if err != nil {
				return err
			}
			c, err := o.compete(ctx, w, part.names, part.pairs, stderr)
			if err != nil {
				return err
			}
			r.Contests = append(r.Contests, c)
			if err := errors.Join(c.write(stdout), o.save(r)); err != nil {
				return err
			}
		}
	}
	return nil
}
