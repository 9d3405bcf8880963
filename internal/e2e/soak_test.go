//go:build torch && soak && linux

package e2e

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/justrl/justrl/orchestrator/journal"
)

// sampled is what the run's own /metrics say of its process when a step was recorded.
// sockets are counted beside it.
type sampled struct {
	resident, goroutines, files, threads, processor, sockets float64
}

// pooled is what the connections to the embedded server may be at most, in sockets of
// which this process has both ends: as many as rows are sampled at once. Those that had
// nothing to do for 3 s are closed, so that steps which become quicker have more of them.
// A connection has two goroutines at its client's end and one at the server's, two while
// it is answered.
const pooled = 2 * 32

// soakFigures are what must be flat, each with what the last quarter's may be, as a
// factor of the second quarter's and a sum beside it: the quantile of the steps, 0.5 for
// their median. Time is by token: answers become shorter and longer as the policy
// learns. Of the clock it is the lowest tenth, and a wide bound, because a machine has others,
// who only add to it; that of the processors' seconds is what shows a leak.
var soakFigures = []struct {
	name        string
	quantile    float64
	factor, sum float64
	of          func(sampled, journal.Step) float64
}{
	{"resident memory, MiB", 0.5, 1.05, 16, func(s sampled, _ journal.Step) float64 { return s.resident / (1 << 20) }},
	{"goroutines of no socket", 0.5, 1, 8 + pooled/4, func(s sampled, _ journal.Step) float64 { return s.goroutines - 2*s.sockets }},
	{"open files but sockets", 0.5, 1, 8, func(s sampled, _ journal.Step) float64 { return s.files - s.sockets }},
	{"sockets", 0.5, 0, pooled + 8, func(s sampled, _ journal.Step) float64 { return s.sockets }},
	{"threads", 0.5, 1, 4, func(s sampled, _ journal.Step) float64 { return s.threads }},
	{"ms of processors a token", 0.5, 1.15, 0, func(s sampled, r journal.Step) float64 { return 1e3 * s.processor / float64(r.Tokens) }},
	{"ms a token", 0.1, 1.4, 0, func(_ sampled, r journal.Step) float64 { return 1e3 * r.Total / float64(r.Tokens) }},
}

// TestSoak trains the shipped policy for JUSTRL_SOAK_STEPS steps as `make demo` does,
// in a process of its own, into JUSTRL_SOAK_OUT, and looks after each step at what the
// process has: nothing may grow, the reward may not fall, nothing may be noticed.
func TestSoak(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv("JUSTRL_SOAK_STEPS"))
	if err != nil || count < 40 {
		t.Fatalf("JUSTRL_SOAK_STEPS is %q: a number, at least 40", os.Getenv("JUSTRL_SOAK_STEPS"))
	}
	out := os.Getenv("JUSTRL_SOAK_OUT")
	if out == "" {
		out = filepath.Join(t.TempDir(), "run")
	}
	r := watch(t, process(t, "run", "--preset", "tiny-cpu", "--model", policy, "--data", train, "--validation", heldOut, "--out", out,
		"--steps", strconv.Itoa(count), "--listen", "127.0.0.1:0", "--set", "validation.every=50", "--set", "checkpoint.every=50"), out)
	seen := r.sampleSteps(count)
	if code := r.code(); code != 0 {
		t.Fatalf("exit code %d: %s", code, r.lastLine())
	}
	recorded := steps(t, out, count)
	if err := os.WriteFile(out+".soak.csv", table(seen, recorded), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, f := range soakFigures {
		values := make([]float64, count)
		for i, s := range seen {
			values[i] = math.NaN() // of a step that was over before it was looked at
			if s != nil {
				values[i] = f.of(*s, recorded[i])
			}
		}
		second, last := quantile(values[count/4:count/2], f.quantile), quantile(values[count*3/4:], f.quantile)
		t.Logf("%-26s %9.3f in steps %d to %d, %9.3f in the last %d: %+.1f %%", f.name, second, count/4, count/2, last, count-count*3/4, 100*(last/second-1))
		if !(last <= f.factor*second+f.sum) {
			t.Errorf("%s: %.3f, then %.3f; %.3f is allowed", f.name, second, last, f.factor*second+f.sum)
		}
	}
	const window, fall = 20, 0.15
	best, deepest := math.Inf(-1), 0.0
	for i := window; i <= count; i++ {
		mean := 0.0
		for _, s := range recorded[i-window : i] {
			mean += s.ScoreMean / window
		}
		best = max(best, mean)
		if deepest = max(deepest, best-mean); best-mean > fall {
			t.Errorf("the mean reward of the %d steps up to %d is %.3f, and was %.3f", window, i, mean, best)
			break
		}
	}
	t.Logf("the mean reward of %d steps came to %.3f, and was never more than %.3f under its best", window, best, deepest)
	if events := content(t, journal.EventsPath(out)); len(events) > 0 {
		t.Errorf("the run has noticed: %s", events)
	}
	v := summary(t, out).Validation["heldout"]
	t.Logf("held-out accuracy %.3f → %.3f; %d steps in %.0f s", v.First, v.Last, count, summary(t, out).WallS)
}

// sampleSteps asks the run for its figures after each of count steps, until it ends;
// nil for a step that was over before it was asked.
func (r *watchedRun) sampleSteps(count int) []*sampled {
	seen := make([]*sampled, count)
	done, before := 0, 0.0
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.ended:
			return seen
		case <-tick.C:
		}
		n := r.out.steps()
		if n == done {
			continue
		}
		text := r.metrics()
		s := sampled{
			figure(text, "process_resident_memory_bytes"), figure(text, "go_goroutines"), figure(text, "process_open_fds"),
			figure(text, "go_threads"), figure(text, "process_cpu_seconds_total"), r.sockets(),
		}
		used := s.processor
		if s.processor -= before; n == done+1 && used > 0 && done > 0 {
			seen[n-1] = &s
		}
		done, before = n, used
	}
}

// sockets counts the process's open sockets; those that come and go meanwhile may count.
func (r *watchedRun) sockets() float64 {
	dir := fmt.Sprintf("/proc/%d/fd", r.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return math.NaN() // it has ended
	}
	n := 0
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return float64(n)
}

// figure reads a metric without labels; 0 where there is none.
func figure(text, name string) float64 {
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	v, _ := strconv.ParseFloat(m[1], 64)
	return v
}

// quantile of what is a number; NaN where that is less than half.
func quantile(values []float64, q float64) float64 {
	known := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(known) < len(values)/2 || len(known) == 0 {
		return math.NaN()
	}
	slices.Sort(known)
	return known[int(q*float64(len(known)-1))]
}

// table is what was seen as CSV, a line a step.
func table(seen []*sampled, recorded []journal.Step) []byte {
	var b bytes.Buffer
	var names []string
	for _, f := range soakFigures {
		names = append(names, strings.ReplaceAll(f.name, ",", ""))
	}
	fmt.Fprintf(&b, "step,reward,seconds,tokens,%s\n", strings.Join(names, ","))
	for i, s := range seen {
		if s == nil {
			continue
		}
		fmt.Fprintf(&b, "%d,%.4f,%.3f,%d", i, recorded[i].ScoreMean, recorded[i].Total, recorded[i].Tokens)
		for _, f := range soakFigures {
			fmt.Fprintf(&b, ",%.4f", f.of(*s, recorded[i]))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}
