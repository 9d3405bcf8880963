package cli

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/orchestrator/config"
	"github.com/justrl/justrl/orchestrator/journal"
	"github.com/justrl/justrl/sampler"
)

// terminal is both ends of a new one, 100 columns wide.
func terminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("SKIPPED: no terminal can be made: %v", err)
	}
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	if err := unix.IoctlSetWinsize(int(theirs.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// On a terminal the stage is shown while it lasts, lines stay above it, and at
// the end it is gone and what is said then is not lost.
func TestProgressOnATerminal(t *testing.T) {
	ours, theirs := terminal(t)
	p := newProgress(theirs, "text", config.Config{Steps: 2, Sampling: config.Sampling{Batch: 2, N: 2}}, nil)
	if p.bar == nil {
		t.Fatal("a terminal is not taken for one")
	}
	var seen bytes.Buffer
	until := func(want string) { // the test's time limit ends a wait for nothing
		b := make([]byte, 4096)
		for !strings.Contains(seen.String(), want) {
			n, err := ours.Read(b)
			if err != nil {
				t.Fatalf("%v, without %q in %q", err, want, seen.String())
			}
			seen.Write(b[:n])
		}
	}
	p.Phase(0, "sample")
	p.Rollout(sampler.Row{}, sampler.Rollout{TokenIDs: make([]int32, 1000)}, nil)
	until("] 1/4 rollouts  ")
	until(" tok/s")
	p.StepDone(journal.Step{Rate: 512}, 2)
	until("512 tok/s")
	p.Phase(0, "update")
	until("step 1/2  update")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p.Notice("the last word")
	until("the last word")
}
