package sympy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// One worker, distinct questions: how many a second, and what of that is the
// worker's CPU time (the rest is waiting, on a machine that does other things).
func BenchmarkEqual(b *testing.B) {
	r := rand.New(rand.NewPCG(7, 2))
	benchmark(b, func(ctx context.Context, p *Pool) error {
		truth, given := pair(r)
		_, err := p.Equal(ctx, truth, given)
		return err
	})
}

func BenchmarkNormalize(b *testing.B) {
	r := rand.New(rand.NewPCG(7, 3))
	benchmark(b, func(ctx context.Context, p *Pool) error {
		_, err := p.Normalize(ctx, latex(r))
		return err
	})
}

func benchmark(b *testing.B, ask func(context.Context, *Pool) error) {
	p := open(b, 1, nil)
	w := <-p.idle
	p.idle <- w
	before := cpuTime(b, w)
	for b.Loop() {
		if err := ask(b.Context(), p); err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "questions/s")
	if used := cpuTime(b, w) - before; used > 0 {
		b.ReportMetric(float64(b.N)/used.Seconds(), "questions/cpu-s")
	}
}

// cpuTime is what a process has used, where /proc tells.
func cpuTime(b *testing.B, w *worker) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		b.Fatal(err)
	}
	const tick = 10 * time.Millisecond
	return time.Duration(user+system) * tick
}
