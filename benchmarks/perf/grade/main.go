// Command grade measures how fast an evaluation's answers are read and graded,
// and in how much memory, as ratios: wc, the reader and the whole program get
// the same files in turns, round after round, each in a process of its own.
//
// The files have the paper's sizes: 12,184 answers of 100 kB (31,744 tokens) to
// nine sets, all problems for one seed after the other, nearly every 4-gram of
// words new. wc is the yardstick of a reader: it too looks at every byte, for
// lines and words.
//
// And graders of pairs take turns: the rule grader, the authors' own and
// math-verify, on the same distinct pairs, with as many workers each.
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
	"time"

	"github.com/justrl/justrl/benchmarks"
	"github.com/justrl/justrl/benchmarks/generations"
	"github.com/justrl/justrl/benchmarks/perf/measure"
)

// The bars that the program is held to.
const (
	leastOfWC = 0.5
	mostBytes = 500 << 20
)

func main() { measure.Main("grade", run) }

type options struct {
	program string // justrl
	dir     string
	bytes   int
	share   float64
	rounds  int
	seed    uint64
	json    bool
	// of the pairs; no file, and there is no such contest
	pairs    string
	python   string
	official string
	workers  int
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 1 && args[0] == readerWord {
		return readAll(args[1:])
	}
	var o options
	f := flag.NewFlagSet("grade", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.program, "program", "", "`PATH` of justrl (required)")
	f.StringVar(&o.dir, "dir", "", "`DIR` to write the answers to, 1.2 GB at the full size; those that are there are used (default: one that is removed)")
	f.IntVar(&o.bytes, "bytes", 100_000, "bytes of an answer")
	f.Float64Var(&o.share, "share", 1, "share of the problems of each set, in (0, 1]")
	f.IntVar(&o.rounds, "rounds", 3, "measured rounds, after one that warms the page cache")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the answers")
	f.StringVar(&o.pairs, "pairs", "", "`FILE` of pairs of a response and a ground truth for the graders (default: without them)")
	f.StringVar(&o.python, "python", "", "`PYTHON` with what the authors' grader and math-verify import")
	f.StringVar(&o.official, "official", "", "`PATH` of the authors' evals/utils.py")
	f.IntVar(&o.workers, "workers", 2, "processes of each grader")
	f.BoolVar(&o.json, "json", false, "write one JSON object instead of a table")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.program == "" || o.bytes < 100 || o.share <= 0 || o.share > 1 || o.rounds < 1 {
		return errors.New("--program is required, --bytes is at least 100, --share in (0, 1], --rounds at least 1, and there are no words")
	}
	if o.pairs != "" && (o.python == "" || o.official == "" || o.workers < 1) {
		return errors.New("--pairs needs --python, --official and at least one of --workers")
	}
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "justrl-bench-grade")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir) //nolint:errcheck // of no use to anybody
		o.dir = dir
	}
	if err := os.MkdirAll(o.dir, 0o777); err != nil {
		return err
	}
	files, err := write(o)
	if err != nil {
		return err
	}
	r, err := compare(ctx, o, files, stderr)
	if err != nil {
		return err
	}
	if o.pairs != "" {
		if r.Pairs, err = o.duel(ctx, stderr); err != nil {
			return err
		}
	}
	if o.json {
		err = json.NewEncoder(stdout).Encode(r)
	} else {
		err = r.write(stdout)
	}
	if err != nil {
		return err
	}
	return r.held()
}

// readerWord as the first argument makes this the process that only reads.
const readerWord = "read-the-files"

func readAll(paths []string) error {
	for _, path := range paths {
		err := generations.Scan(path, func(generations.Line, benchmarks.Generation) error { return nil })
		if err != nil {
			return err
		}
	}
	return nil
}

// compare has the contenders take turns.
func compare(ctx context.Context, o options, files []string, stderr io.Writer) (report, error) {
	self, err := os.Executable()
	if err != nil {
		return report{}, err
	}
	out, err := os.MkdirTemp("", "justrl-bench-graded")
	if err != nil {
		return report{}, err
	}
	defer os.RemoveAll(out) //nolint:errcheck // of no use to anybody
	contenders := []contender{
		{"wc", append([]string{"wc"}, files...)},
		{"read", append([]string{self, readerWord}, files...)},
		{"grade", []string{o.program, "grade", "--generations", o.dir, "--out", out, "--verifier", "strict-box"}},
	}
	r := report{Machine: measure.ThisMachine(), Files: len(files), Bytes: size(files)}
	runs := map[string][]outcome{}
	for round := range o.rounds + 1 {
		for _, c := range contenders {
			done, err := c.run(ctx)
			if err != nil {
				return report{}, err
			}
			if round == 0 {
				continue
			}
			fmt.Fprintf(stderr, "round %d: %s %s, %d MB\n", round, c.name, done.wall.Round(time.Millisecond), done.peak>>20)
			runs[c.name] = append(runs[c.name], done)
		}
	}
	for _, c := range contenders {
		r.Contenders = append(r.Contenders, lineOf(c.name, runs[c.name], runs["wc"], r.Bytes))
	}
	return r, nil
}

func size(files []string) (n int64) {
	for _, f := range files {
		if st, err := os.Stat(f); err == nil {
			n += st.Size()
		}
	}
	return n
}

func (o options) path(name generations.Name) string { return filepath.Join(o.dir, name.File()) }
