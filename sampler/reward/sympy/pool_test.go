package sympy

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/justrl/justrl/sampler"
)

func TestOpen(t *testing.T) {
	own(t)
	var lines []string
	p, err := Open(t.Context(), Options{Workers: 1, Report: func(l string) { lines = append(lines, l) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if _, err := p.Normalize(t.Context(), "1"); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v, want ErrClosed", err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("closed again: %v", err)
		}
	}()
	if p.Versions() != Pinned {
		t.Errorf("%v, want %v", p.Versions(), Pinned)
	}
	if len(lines) > 0 && slices.Equal(p.Confinement(), wantedLayers) {
		t.Errorf("it had to say %q", lines)
	}
	if got, err := p.Normalize(t.Context(), `\frac{1}{2} cm`); err != nil || got != "1/2" {
		t.Errorf("normalised to %q, %v", got, err)
	}
	for _, tc := range []struct {
		truth, given string
		want         bool
	}{{"sqrt(8)", "2sqrt(2)", true}, {"sqrt(8)", "3", false}, {"x", "exec", false}, {"2**3", ")", false}} {
		if got, err := p.Equal(t.Context(), tc.truth, tc.given); err != nil || got != tc.want {
			t.Errorf("%q and %q: %t, %v", tc.truth, tc.given, got, err)
		}
	}
	if _, err := p.Normalize(t.Context(), strings.Repeat("x", maxText+1)); !errors.Is(err, ErrMemory) {
		t.Errorf("a text beyond the bound: %v", err)
	}
}

func TestOptionsOutOfBounds(t *testing.T) {
	for _, o := range []Options{{Workers: -1}, {TimeLimit: -1}, {Memory: -1}} {
		if p, err := Open(t.Context(), o); err == nil {
			t.Errorf("%+v was accepted", errors.Join(p.Close()))
		}
	}
}

// What goes there comes back: Python's strings hold more than Go's should.
func TestTexts(t *testing.T) {
	p := open(t, 1, nil)
	for _, tc := range []struct{ name, expr, want string }{
		{"empty", "", ""},
		{"NUL", "a\x00b", "a\x00b"},
		{"line ends", "a\nb\r\u2028c", "a\nb\r\u2028c"},
		{"an astral character", "\U0001f600", "\U0001f600"},
		{"a lone surrogate", "a\xed\xa0\x80b", "a\xed\xa0\x80b"},
		{"the other half alone", "\xed\xbf\xbf", "\xed\xbf\xbf"},
		{"no UTF-8", "a\xffb\xc3", "a\ufffdb\ufffd"},
		{"cut off in a surrogate", "a\xed\xa0", "a\ufffd\ufffd"},
		{"one MB", strings.Repeat("ab", 1<<19), strings.Repeat("ab", 1<<19)},
		{"one MB of three bytes each", strings.Repeat("\u4e00", 1<<20/3), strings.Repeat("\u4e00", 1<<20/3)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := p.Normalize(t.Context(), tc.expr)
			if err != nil || got != tc.want {
				t.Errorf("%.40q (%d bytes), %v, want %.40q", got, len(got), err, tc.want)
			}
		})
	}
}

// A pair that never ends is ended by the kernel, and the next one is answered.
func TestTimeLimit(t *testing.T) {
	p := open(t, 1, func(l *launch) { l.timeLimit = 300 * time.Millisecond })
	for range 2 {
		if _, err := p.Equal(t.Context(), "x", "9**9**9**9"); !errors.Is(err, sampler.ErrVerifyTimeout) || errors.Is(err, ErrCrashed) {
			t.Errorf("%v, want ErrVerifyTimeout", err)
		}
		if same, err := p.Equal(t.Context(), "2x", "x+x"); err != nil || !same {
			t.Errorf("afterwards: %t, %v", same, err)
		}
	}
}

// probing is a worker that also does what a test tells it to, confined or not:
// an answer's text is run as a program.
const probing = `
def equal(truth, given):
    if not given.startswith("#!"):  # a question of the warm-up
        return False
    space = dict(globals())
    exec(given, space)
    return bool(space.get("found", False))
`

func withProbe(layers ...string) func(*launch) {
	return func(l *launch) {
		l.layers = append([]string{}, layers...)
		l.source = strings.Replace(workerSource, "\nserve(settings)\n", probing+"\nserve(settings)\n", 1)
	}
}

// do has a worker with a probe run a program, which sets found.
func do(ctx context.Context, p *Pool, program string) (found bool, err error) {
	return p.Equal(ctx, "", "#!\n"+program)
}

// Workers that break the rules are replaced, and the caller told.
func TestMisbehaviour(t *testing.T) {
	p := open(t, 1, func(l *launch) {
		withProbe("limits")(l)
		l.timeLimit = time.Second
	})
	for _, tc := range []struct {
		name, program string
		want          error
	}{
		{"it exits", "import os; os._exit(3)", ErrCrashed},
		{"it kills itself", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", ErrCrashed},
		{"it closes its pipes", "import os, time; os.closerange(0, 100); time.sleep(600)", ErrCrashed},
		{"it answers nonsense", "import os\nfor i in range(3, 20):\n  try: os.write(i, b'nonsense' * 10)\n  except OSError: pass", ErrCrashed},
		{"it floods", "import os\nwhile True:\n  for i in range(3, 20):\n    try: os.write(i, b'x' * 100000)\n    except OSError: pass", ErrCrashed},
		{"it answers more than was asked", "import os, struct\nfor i in range(3, 20):\n  try: os.write(i, struct.pack('>IcI', 1, b't', 1 << 30))\n  except OSError: pass", ErrCrashed},
		{"it does not answer", "import time; time.sleep(600)", sampler.ErrVerifyTimeout},
		{"it floods stderr and does not answer", "import os, time\nwhile True: os.write(2, b'x' * 10000)", sampler.ErrVerifyTimeout},
		{"it takes too much memory", "x = bytearray(8 << 30)", ErrMemory},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := do(t.Context(), p, tc.program); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if ok, err := do(t.Context(), p, "found = True"); err != nil || !ok {
				t.Errorf("afterwards: %t, %v", ok, err)
			}
		})
	}
}

// A crash that does not happen again is nobody's business.
func TestCrashOnce(t *testing.T) {
	flag := t.TempDir() + "/crashed"
	p := open(t, 1, withProbe())
	program := "import os\nif not os.path.exists('" + flag + "'):\n  open('" + flag + "', 'w').close()\n  os._exit(1)\nfound = True"
	if ok, err := do(t.Context(), p, program); err != nil || !ok {
		t.Errorf("%t, %v", ok, err)
	}
	if _, err := os.Stat(flag); err != nil {
		t.Errorf("it did not crash at all: %v", err)
	}
}

// What a worker has started goes with it: its child holds a pipe open, and no longer does.
func TestProcessGroup(t *testing.T) {
	fifo := t.TempDir() + "/held"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	p := open(t, 1, func(l *launch) { withProbe()(l); l.timeLimit = time.Second })
	program := "import os, time\npipe = open('" + fifo + "', 'w')\nif os.fork() == 0:\n  pipe.write('child'); pipe.flush()\ntime.sleep(600)"
	if _, err := do(t.Context(), p, program); !errors.Is(err, sampler.ErrVerifyTimeout) {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := held.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(held); err != nil || string(said) != "child" {
		t.Errorf("the child said %q; its end: %v", said, err)
	}
}

func TestCancel(t *testing.T) {
	p := open(t, 1, func(l *launch) { withProbe()(l); l.timeLimit = time.Hour })
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := do(ctx, p, "import time; time.sleep(3600)")
		asked <- err
	})
	waiting, stop := context.WithCancel(t.Context())
	stop()
	if _, err := do(waiting, p, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before it began: %v", err)
	}
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while it ran: %v", err)
	}
	wg.Wait()
	if ok, err := do(t.Context(), p, "found = True"); err != nil || !ok {
		t.Errorf("afterwards: %t, %v", ok, err)
	}
}

// Close does not wait for a pair, and leaves no process.
func TestCloseInTheMiddle(t *testing.T) {
	note := t.TempDir() + "/running"
	if err := syscall.Mkfifo(note, 0o600); err != nil {
		t.Fatal(err)
	}
	p := open(t, 2, func(l *launch) { withProbe()(l); l.timeLimit = time.Hour })
	var wg sync.WaitGroup
	for range 3 { // two run, one waits
		wg.Go(func() {
			if _, err := do(t.Context(), p, "open('"+note+"', 'w').write('.')\nimport time; time.sleep(3600)"); !errors.Is(err, ErrClosed) {
				t.Errorf("%v, want ErrClosed", err)
			}
		})
	}
	if _, err := os.ReadFile(note); err != nil { // until one has begun
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("a child is left: %d, %v", pid, err)
	}
}

// Many callers, few workers, some of whom are killed: everybody gets their own answer.
func TestConcurrent(t *testing.T) {
	p := open(t, 2, func(l *launch) { l.timeLimit = 2 * time.Second })
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if i%13 == 5 {
				if _, err := p.Equal(t.Context(), "x", "7**77777777"); !errors.Is(err, sampler.ErrVerifyTimeout) {
					t.Errorf("%d: %v, want ErrVerifyTimeout", i, err)
				}
				return
			}
			n := strings.Repeat("+x", i)
			if same, err := p.Equal(t.Context(), "0"+n, strings.Repeat("x+", i)+"0"); err != nil || !same {
				t.Errorf("%d: %t, %v", i, same, err)
			}
		})
	}
	wg.Wait()
}

// A worker that has grown is replaced, and only then.
func TestWorn(t *testing.T) {
	p := open(t, 1, withProbe())
	process := func() *worker {
		w := <-p.idle
		p.idle <- w
		return w
	}
	first := process()
	if size, known := residentSize(first.cmd.Process.Pid); !known || size < 20<<20 {
		t.Skipf("SKIPPED: no /proc that tells a process's size: %d", size)
	}
	ask := func(program string) {
		t.Helper()
		for range wornLook {
			if _, err := do(t.Context(), p, program); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask("")
	if process() != first {
		t.Error("replaced although it is small")
	}
	ask("import sys\nif not hasattr(sys, 'grown'): sys.grown = b'x' * (200 << 20)")
	if process() == first {
		t.Error("not replaced although it has grown")
	}
	if size, _ := residentSize(process().cmd.Process.Pid); size > wornSize {
		t.Errorf("the next one has %d bytes", size)
	}
}
