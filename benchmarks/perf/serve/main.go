// Command serve measures how many tokens a second servers of one model sample,
// as ratios: all contenders get the same requests in turns, round after round
// (A B C A B C …), so that a machine that is slow for a while is slow for all.
//
// A server is asked as a training step asks it: one request a prompt with all
// its samples, seeded, temperature 1, through sampler/vllm's Generator. The
// transformers contender is `generate` on one left-padded batch, in a Python
// process of its own. A round's prompts are new to every contender, so that a
// cache of prompts helps none.
//
// Deliberately absent: latencies and arrival processes. A training step hands
// all its requests over at once and waits for the last.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/justrl/justrl/benchmarks/perf/measure"
)

func main() { measure.Main("serve", run) }

// options are the command's flags.
type options struct {
	model, data string
	servers     []address
	python      string // of the transformers contender; "" leaves it out
	threads     int    // of the transformers contender
	served      string
	work        workload
	rounds      int
	warmup      int
	gap         time.Duration
	logprobs    string
	bars        []bar
	json        bool
}

// address is a server's name in the report, its URL, and its process if known.
type address struct {
	name, url string
	pid       int
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.model, "model", "", "`DIR` of the model that every server serves (required)")
	f.StringVar(&o.data, "data", "", "`FILE` of problems, parquet or JSON Lines (required)")
	f.Func("server", "`NAME=URL` of a contender, or NAME=URL,PID to measure its processor time; may be repeated", func(s string) error {
		a, err := parseAddress(s)
		o.servers = append(o.servers, a)
		return err
	})
	f.StringVar(&o.python, "transformers", "", "`PYTHON` that has transformers: adds it as the last contender")
	f.IntVar(&o.threads, "threads", 2, "threads of the transformers contender")
	f.StringVar(&o.served, "served-model", "", "the served model's `NAME` (default: each server's first)")
	f.IntVar(&o.work.prompts, "prompts", 64, "prompts a round, all asked at once")
	f.IntVar(&o.work.n, "n", 8, "samples a prompt")
	f.IntVar(&o.work.maxTokens, "max-tokens", 96, "tokens a sample at most")
	f.Int64Var(&o.work.seed, "seed", 1, "seed of the samples")
	f.IntVar(&o.rounds, "rounds", 5, "measured rounds")
	f.IntVar(&o.warmup, "warmup", 1, "rounds before them that do not count")
	f.DurationVar(&o.gap, "gap", time.Second, "wait after each turn, for a contender that is busy a little longer")
	f.StringVar(&o.logprobs, "logprobs", "both", "ask for the log-prob of every sampled token: on, off or both (one after the other)")
	f.Func("bar", "`A/B=RATIO`: tell whether A is at least RATIO times as fast as B; may be repeated", func(s string) error {
		b, err := parseBar(s)
		o.bars = append(o.bars, b)
		return err
	})
	f.BoolVar(&o.json, "json", false, "write one JSON object instead of tables")
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
	if o.model == "" || o.data == "" {
		bad("--model and --data are required")
	}
	if len(o.names()) == 0 {
		bad("no contender: give --server NAME=URL or --transformers PYTHON")
	}
	known := map[string]bool{}
	for _, name := range o.names() {
		if known[name] {
			bad("two contenders are named %q", name)
		}
		known[name] = true
	}
	for _, b := range o.bars {
		if !known[b.A] || !known[b.B] {
			bad("--bar %s/%s: the contenders are %s", b.A, b.B, strings.Join(o.names(), ", "))
		}
	}
	for name, x := range map[string]int{"prompts": o.work.prompts, "n": o.work.n, "max-tokens": o.work.maxTokens, "rounds": o.rounds, "threads": o.threads} {
		if x < 1 {
			bad("--%s must be at least 1, is %d", name, x)
		}
	}
	if o.warmup < 0 || o.gap < 0 {
		bad("--warmup %d or --gap %v is negative", o.warmup, o.gap)
	}
	if _, ok := modes[o.logprobs]; !ok {
		bad("--logprobs must be on, off or both, is %q", o.logprobs)
	}
	return errors.Join(errs...)
}

// modes are the values of --logprobs.
var modes = map[string][]bool{"on": {true}, "off": {false}, "both": {true, false}}

func (o options) names() []string {
	var names []string
	for _, s := range o.servers {
		names = append(names, s.name)
	}
	if o.python != "" {
		names = append(names, transformersName)
	}
	return names
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if err := o.work.load(ctx, o.model, o.data); err != nil {
		return err
	}
	stderr = &locked{w: stderr} // the Python process writes there too
	contenders, closeAll, err := open(ctx, o, stderr)
	defer closeAll()
	if err != nil {
		return err
	}
	report := report{
		Machine: measure.ThisMachine(), Model: filepath.Base(o.model), Parameters: o.work.parameters,
		Prompts: o.work.prompts, N: o.work.n, MaxTokens: o.work.maxTokens, Warmup: o.warmup,
	}
	for _, logprobs := range modes[o.logprobs] {
		turns, err := takeTurns(ctx, contenders, o, logprobs, stderr)
		if err != nil {
			return err
		}
		report.Modes = append(report.Modes, summarize(logprobs, turns, o.bars))
	}
	report.Date = time.Now().UTC().Format(time.DateOnly)
	if o.json {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	return report.write(stdout)
}

// locked is a writer for several goroutines.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
