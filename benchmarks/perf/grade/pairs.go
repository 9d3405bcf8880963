package main

import (
	"bufio"
	"context"
	_ "embed" // the peers' program
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/justrl/justrl/benchmarks/perf/measure"
)

// The bars that the rule grader is held to, as times a peer's speed.
const (
	leastOfOfficial   = 1.5
	leastOfMathVerify = 20
)

//go:embed peer.py
var peerText string

// duel is graders over the same distinct pairs, each in a process that starts
// with nothing in its caches and has as many workers.
type duel struct {
	Pairs   int        `json:"pairs"`
	Workers int        `json:"workers"`
	Graders []duellist `json:"graders"`
}

type duellist struct {
	Name   string         `json:"name"`
	Rate   measure.Spread `json:"pairs_per_s"`
	Ours   measure.Spread `json:"ours_is_times"` // our speed by its, of one round
	Least  float64        `json:"bound"`
	Peak   int64          `json:"peak_bytes"` // of the process that hands out the work
	Differ int            `json:"verdicts_differ"`
}

// duel has the graders take turns. Those of ours that took too long are no
// verdicts: the others have no limit, and so the pairs are none that need one.
func (o options) duel(ctx context.Context, stderr io.Writer) (*duel, error) {
	work, err := os.MkdirTemp("", "justrl-bench-pairs")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work) //nolint:errcheck // of no use to anybody
	pairs, n, err := distinct(o.pairs, filepath.Join(work, "pairs.jsonl"))
	if err != nil {
		return nil, err
	}
	peer := filepath.Join(work, "peer.py")
	if err := os.WriteFile(peer, []byte(peerText), 0o600); err != nil {
		return nil, err
	}
	workers := strconv.Itoa(o.workers)
	graded := func(name string) string { return filepath.Join(work, name+".out") }
	contenders := []contender{
		{"ours", []string{o.program, "grade", "--in", pairs, "--out", graded("ours"), "--verifier", "rule", "--workers", workers}},
		{"official", []string{o.python, peer, "official " + o.official, workers, pairs, graded("official")}},
		{"math-verify", []string{o.python, peer, "math-verify", workers, pairs, graded("math-verify")}},
	}
	runs := map[string][]outcome{}
	for round := range o.rounds {
		for i := range contenders {
			c := contenders[i]
			if round%2 == 1 {
				c = contenders[len(contenders)-1-i]
			}
			done, err := c.run(ctx)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(stderr, "pairs, round %d: %s %.0f pairs/s\n", round+1, c.name, float64(n)/done.wall.Seconds())
			runs[c.name] = append(runs[c.name], done)
		}
	}
	d := &duel{Pairs: n, Workers: o.workers}
	ours, err := verdicts(graded("ours"))
	if err != nil {
		return nil, err
	}
	for _, c := range contenders {
		l := duellist{Name: c.name, Least: map[string]float64{"official": leastOfOfficial, "math-verify": leastOfMathVerify}[c.name]}
		var rate, times []float64
		for i, r := range runs[c.name] {
			rate = append(rate, float64(n)/r.wall.Seconds())
			times = append(times, r.wall.Seconds()/runs["ours"][i].wall.Seconds())
			l.Peak = max(l.Peak, r.peak)
		}
		l.Rate, l.Ours = measure.SpreadOf(rate), measure.SpreadOf(times)
		its, err := verdicts(graded(c.name))
		if err != nil {
			return nil, err
		}
		if len(its) != n || len(ours) != n {
			return nil, fmt.Errorf("%s gave %d verdicts on %d pairs", c.name, len(its), n)
		}
		for i := range its {
			if its[i] != ours[i] {
				l.Differ++
			}
		}
		d.Graders = append(d.Graders, l)
	}
	return d, nil
}

// distinct copies the pairs of a file, each answer to a truth once: what stands
// around a box is no work.
func distinct(from, to string) (path string, n int, err error) {
	in, err := os.Open(from)
	if err != nil {
		return "", 0, err
	}
	defer in.Close() //nolint:errcheck // it was read
	out, err := os.Create(to)
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	seen := map[[2]string]bool{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var p struct {
			Response    string `json:"response"`
			GroundTruth string `json:"ground_truth"`
			Kind        string `json:"kind"`
		}
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return "", 0, fmt.Errorf("%s: %w", from, err)
		}
		key := [2]string{p.Response[max(0, strings.LastIndex(p.Response, `\boxed`)):], p.GroundTruth}
		if seen[key] || strings.HasPrefix(p.Kind, "adversarial") {
			continue // those may take the peers, which have no limit, for ever
		}
		seen[key] = true
		n++
		if _, err := fmt.Fprintf(out, "%s\n", lines.Bytes()); err != nil {
			return "", 0, err
		}
	}
	return to, n, lines.Err()
}

// verdicts reads what a grader wrote: JSON lines with correct, or bare words.
func verdicts(path string) (all []bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was read
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var correct bool
		if text := lines.Text(); strings.HasPrefix(text, "{") {
			var v struct {
				Correct bool `json:"correct"`
			}
			err = json.Unmarshal([]byte(text), &v)
			correct = v.Correct
		} else {
			correct, err = strconv.ParseBool(text)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, correct)
	}
	return all, lines.Err()
}

func (d *duel) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "\n%d distinct pairs, %d workers, nothing cached\n", d.Pairs, d.Workers)
	_, _ = fmt.Fprintln(t, "\tpairs/s\tours is × as fast\tbound\tverdicts other than ours\tpeak memory of the first process, MiB")
	for _, l := range d.Graders {
		bound := "–"
		if l.Least > 0 {
			bound = fmt.Sprintf("≥ %g", l.Least)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\n", l.Name, l.Rate.Text(0), l.Ours.Text(2), bound, l.Differ, l.Peak>>20)
	}
	return t.Flush()
}

// held tells which bars were not.
func (d *duel) held() error {
	var errs []error
	for _, l := range d.Graders {
		if l.Ours.Median < l.Least {
			errs = append(errs, fmt.Errorf("ours has %.2f times the speed of %s, less than %g", l.Ours.Median, l.Name, l.Least))
		}
		if l.Name == "official" && l.Differ > 0 {
			errs = append(errs, fmt.Errorf("%d verdicts are not the official grader's", l.Differ))
		}
	}
	return errors.Join(errs...)
}
