package journal

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestStepAtFullSize measures a step of the paper's run, 2,048 answers that all have
// their 15,360 tokens: sizes of both files, seconds, and the memory that is held beside
// the rollouts. JUSTRL_ANSWERS=2048 gives it its size; without it 64 answers do.
func TestStepAtFullSize(t *testing.T) {
	answers := 64
	if v := os.Getenv("JUSTRL_ANSWERS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		answers = n
	}
	const tokens = 15_360
	all := variedRollouts(answers, tokens, tokens)
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // so that what is live is seen, and not what was
	d := create(t, filepath.Join(t.TempDir(), "run"))
	size := func(path string) int64 {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	measured := func(what string, limit int64, do func()) {
		runtime.GC()
		before, began, used := peakHeap(t, func() {}), time.Now(), cpuTime(t)
		peak := peakHeap(t, do) - before
		t.Logf("%-24s %6.1f s, %5.1f s of processors, %3d MB beside what was held", what, time.Since(began).Seconds(), (cpuTime(t) - used).Seconds(), peak>>20)
		if peak > limit {
			t.Errorf("%s takes %d MB, at most %d were to be", what, peak>>20, limit>>20)
		}
	}
	rss(t, "with the rollouts in memory")
	p := mustOpenPartial(t, d, 0)
	measured("append to the partial", 32<<20, func() {
		for _, r := range all {
			if err := p.Add(r); err != nil {
				t.Fatal(err)
			}
		}
	})
	lines := size(rolloutsPath(d.Path(), 0, partial))
	measured("write as parquet", 64<<20, func() {
		if err := d.WriteRollouts(0, all); err != nil {
			t.Fatal(err)
		}
	})
	file := size(RolloutsPath(d.Path(), 0))
	rss(t, "after writing")
	all = nil
	measured("read, one by one", 64<<20, func() {
		n := 0
		for _, err := range Rollouts(d.Path(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != answers {
			t.Fatal(n)
		}
	})
	measured("read the texts alone", 64<<20, func() {
		for _, err := range RolloutTexts(d.Path(), 0) {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	rss(t, "at the end")
	each := float64(answers) * tokens
	t.Logf("partial %d MB (%.1f bytes a token), parquet %d MB (%.1f bytes a token)", lines>>20, float64(lines)/each, file>>20, float64(file)/each)
	if float64(file) > 0.6*float64(lines) {
		t.Errorf("parquet takes %d bytes, and lines %d", file, lines)
	}
}

// peakHeap is the most memory that was live at a collection while do ran.
func peakHeap(t *testing.T, do func()) int64 {
	t.Helper()
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		var most uint64
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-stop:
				peak <- most
				return
			case <-tick.C:
			}
		}
	}()
	do()
	close(stop)
	return int64(<-peak)
}

// cpuTime is what the process has used of processors.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rss logs the process's memory as the kernel counts it.
func rss(t *testing.T, when string) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return // no such file on this system
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "VmHWM") {
			t.Logf("%s: %s", when, strings.Join(strings.Fields(line), " "))
		}
	}
}
