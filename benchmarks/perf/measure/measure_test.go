package measure

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestSpreadOf(t *testing.T) {
	for _, tc := range []struct {
		in   []float64
		want Spread
	}{
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{4, 1}, Spread{2.5, 1, 4}},
		{[]float64{9, 1, 5}, Spread{5, 1, 9}},
		{[]float64{1, 9, 5, 6}, Spread{5.5, 1, 9}},
	} {
		if got := SpreadOf(tc.in); got != tc.want {
			t.Errorf("%v, want %v", got, tc.want)
		}
	}
}

func TestParseStat(t *testing.T) {
	const line = "4242 (a) (b c) S 17 4242 4242 0 -1 4194304 100 0 0 0 250 50 7 8 20 0 1 0 5 0 0"
	pid, parent, seconds, ok := parseStat([]byte(line))
	if pid != 4242 || parent != 17 || seconds != 3 || !ok {
		t.Errorf("pid %d, parent %d, %g s, %t; want 4242, 17, 3 s", pid, parent, seconds, ok)
	}
	for _, bad := range []string{"", "1 x", "1 (x) S 1", "z (x) S 17 1 1 0 -1 1 1 0 0 0 2 5 7 8"} {
		if _, _, _, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestParseBusy(t *testing.T) {
	const stat = "cpu  100 20 30 9999 8888 1 2 3 7 7\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
	if got, want := parseBusy([]byte(stat)), 1.56; got != want {
		t.Errorf("%g s, want %g: all but idle, iowait and guests, whose time is user's", got, want)
	}
	for _, bad := range []string{"", "intr 1 2 3 4 5 6 7 8 9", "cpu 1 2 3", "cpu 1 2 3 4 5 6 7 x"} {
		if got := parseBusy([]byte(bad)); got != 0 {
			t.Errorf("%q: %g", bad, got)
		}
	}
}

func TestParseMemory(t *testing.T) {
	got, err := parseMemory("Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t  2048 kB\nVmRSS:\t    1024 kB\nRssAnon:\t 1 kB\n")
	if want := (Memory{Now: 1 << 20, Peak: 2 << 20}); got != want || err != nil {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "VmRSS:\t1 kB\n", "VmRSS:\t1 kB\nVmHWM:\tx kB\n", "VmRSS:\t1\nVmHWM:\t1 kB\n"} {
		if got, err := parseMemory(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

// A process's peak is what it held at most, also after it gave it back, until it is told to begin again.
func TestMemoryOf(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux alone has /proc/PID/status")
	}
	before, err := MemoryOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 256<<20)
	for i := 0; i < len(block); i += 1 << 10 {
		block[i] = 1
	}
	runtime.KeepAlive(block)
	debug.FreeOSMemory()
	after, err := MemoryOf(os.Getpid())
	if err != nil || after.Peak < before.Now+256<<20 {
		t.Errorf("peak %d after %d and 256 MiB, %v", after.Peak, before.Now, err)
	}
	if err := ResetPeak(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if again, err := MemoryOf(os.Getpid()); err != nil || again.Peak > after.Peak-128<<20 {
		t.Errorf("peak %d, was %d before it was reset, %v", again.Peak, after.Peak, err)
	}
}

func TestProcess(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no sh")
	}
	start := func(script string) (*Process, error) {
		var ready struct{ Ready bool }
		p, err := Start(exec.Command("sh", "-c", script), &ready)
		if err == nil && !ready.Ready {
			t.Error("the first line was not read")
		}
		return p, err
	}
	p, err := start(`echo '{"ready":true}'; while read x; do echo "{\"heard\":$x}"; done`)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, want := range []int{7, 8} {
		var answer struct{ Heard int }
		if err := p.Ask(want, &answer); err != nil || answer.Heard != want {
			t.Errorf("heard %d, %v, want %d", answer.Heard, err, want)
		}
	}
	if _, err := start("exit 1"); err == nil || !strings.Contains(err.Error(), "did not start") {
		t.Errorf("a process that ends at once: %v", err)
	}
	q, err := start(`echo '{"ready":true}'; read x; echo nonsense`)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.Ask(1, new(int)); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an answer that is none: %v", err)
	}
	if err := q.Ask(1, new(int)); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("a process that has ended: %v", err)
	}
}
