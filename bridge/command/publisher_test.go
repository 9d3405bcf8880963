package command_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/bridge/command"
)

var theta0 = bridgetest.Model{Theta: [8]float64{0.9, -0.5, 0.3, 0.7, -0.2, 0.1, 0.4, -0.6}}

// rig is a fake server, a publisher for it and a folder of snapshots.
type rig struct {
	*bridgetest.Server
	*command.Publisher
	root string
}

func newRig(t *testing.T, o command.Options) *rig {
	t.Helper()
	r := &rig{Server: bridgetest.NewServer(t, theta0), root: filepath.Join(t.TempDir(), "snapshots")}
	o.Server, o.Want, o.Inspector, o.Poll = r.URL, bridgetest.Tensors(), bridgetest.Inspector{}, time.Millisecond
	if o.Ready == nil {
		o.Ready = func(context.Context) error { return nil }
	}
	var err error
	if r.Publisher, err = command.New(o); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) publish(t *testing.T, version int64, m bridgetest.Model) bridge.Snapshot {
	t.Helper()
	s := bridge.Snapshots{Root: r.root, Exporter: m, Inspector: bridgetest.Inspector{}, Want: bridgetest.Tensors()}
	out, err := s.Publish(t.Context(), version, int(version))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestConformanceOnFake(t *testing.T) {
	bridgetest.Publisher(t, func(t *testing.T) bridgetest.Harness {
		r := newRig(t, command.Options{Argv: program("reload")})
		weights := map[string]bridgetest.Model{"a": theta0, "b": theta0.Moved(0.05)}
		return bridgetest.Harness{
			Publisher: r, Server: bridgetest.Scorer{URL: r.URL, Model: "tiny"}, Probes: bridgetest.Probes(),
			Publish: func(t *testing.T, version int64, which string) bridge.Snapshot {
				return r.publish(t, version, weights[which])
			},
			Paused: func() (bool, error) { return r.Paused(), nil },
		}
	})
}

// flaky is a program that fails so many times, then works.
func flaky(t *testing.T) (argv []string, fail func(times int)) {
	file := filepath.Join(t.TempDir(), "left")
	return program("flaky", file), func(times int) {
		if err := os.WriteFile(file, make([]byte, times), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoadFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		times  int // that the program fails
		want   string
		serves float64
	}{
		{"once: it is run again at once", 1, "", 0.2},
		{"twice: the one before is put back", 2, "exit status 1; its standard error ends: not yet; it has been put on version 1", 0.1},
		{"three times", 3, "what it serves now is not known: look at it", 0.1},
	} {
		t.Run(c.name, func(t *testing.T) {
			argv, fail := flaky(t)
			r := newRig(t, command.Options{Argv: argv})
			if err := r.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.1))); err != nil {
				t.Fatal(err)
			}
			fail(c.times)
			err := r.Load(t.Context(), r.publish(t, 2, theta0.Moved(0.2)))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if r.Model().Theta != theta0.Moved(c.serves).Theta {
				t.Errorf("serves %v", r.Model())
			}
		})
	}
}

// What the program says is in the error, with its arguments as they were put in.
func TestFailureIsTold(t *testing.T) {
	r := newRig(t, command.Options{Argv: program("fail", "{dir} v{version}", "{url}/x")})
	s := r.publish(t, 7, theta0)
	err := r.Load(t.Context(), s)
	var failed *command.FailedError
	if !errors.As(err, &failed) {
		t.Fatalf("error %v", err)
	}
	if want := "first | second | the disk is full: " + s.Dir + " v7"; failed.Said != want || failed.How != "exit status 3" {
		t.Errorf("%q, %q; want %q", failed.How, failed.Said, want)
	}
	if last := failed.Argv[len(failed.Argv)-1]; last != r.URL+"/x" || strings.Contains(err.Error(), "\n") {
		t.Errorf("last argument %q; error %q", last, err)
	}
}

// The server is asked until it answers; one that never does is put back.
func TestReady(t *testing.T) {
	calls, never := 0, false
	r := newRig(t, command.Options{
		Argv: program("reload"), Patience: 200 * time.Millisecond,
		Ready: func(context.Context) error {
			if calls++; never || calls%3 != 0 {
				return errors.New("connection refused")
			}
			return nil
		},
	})
	if err := r.Load(t.Context(), r.publish(t, 1, theta0)); err != nil || calls != 3 {
		t.Errorf("%v after %d calls", err, calls)
	}
	never = true
	err := r.Load(t.Context(), r.publish(t, 2, theta0.Moved(0.2)))
	if err == nil || !strings.Contains(err.Error(), "the server did not answer within 200ms of the command's end: connection refused; what it serves now is not known") {
		t.Errorf("error %v", err)
	}
}

// A program that does not end is ended, with what it started, when the load is given up or its time is over.
func TestGroupIsEnded(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: a program that ignores SIGTERM takes seconds to end")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := newRig(t, command.Options{Argv: program("hang", l.Addr().String()), Recovery: time.Millisecond})
	s := r.publish(t, 1, theta0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() { done <- r.Load(ctx, s) }()
	var running []net.Conn // the program and its child
	for range 2 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		running = append(running, c)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "was ended") {
		t.Errorf("error %v", err)
	}
	for _, c := range running {
		_, _ = io.Copy(io.Discard, c) // until it has ended
	}
}

func TestLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: a program that ignores SIGTERM takes seconds to end")
	}
	r := newRig(t, command.Options{Argv: program("stay"), Limit: 300 * time.Millisecond, Recovery: time.Millisecond})
	err := r.Load(t.Context(), r.publish(t, 1, theta0))
	var failed *command.FailedError
	if !errors.As(err, &failed) || failed.How != "ran longer than 300ms" {
		t.Errorf("error %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	good := command.Options{
		Argv: program("reload"), Server: "http://x", Want: bridgetest.Tensors(), Inspector: bridgetest.Inspector{},
		Ready: func(context.Context) error { return nil },
	}
	for _, c := range []struct {
		name  string
		spoil func(*command.Options)
		want  string
	}{
		{"no program", func(o *command.Options) { o.Argv = nil }, "needs a program"},
		{"not there", func(o *command.Options) { o.Argv = []string{"no-such-program-of-justrl"} }, "executable file not found"},
		{"misspelt", func(o *command.Options) { o.Argv = program("reload", "--model={path}") }, `{path} in "--model={path}" is none of {dir}, {version}, {url}`},
		{"nobody to ask", func(o *command.Options) { o.Ready = nil }, "Ready"},
		{"negative", func(o *command.Options) { o.Limit = -1 }, "Limit is negative"},
	} {
		o := good
		c.spoil(&o)
		if _, err := command.New(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := command.New(good); err != nil {
		t.Error(err)
	}
}

// The program is somebody's own: the keys of ours are not for it.
func TestProgramsGetNoKeys(t *testing.T) {
	t.Setenv("JUSTRL_API_KEY", "hunter2")
	t.Setenv("JUSTRL_SHARE_TOKEN", "hunter2")
	r := newRig(t, command.Options{Argv: program("keyless")})
	if err := r.Load(t.Context(), r.publish(t, 1, theta0)); err != nil {
		t.Error(err)
	}
}
