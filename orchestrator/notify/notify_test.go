package notify

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a program of the shell.
func script(t *testing.T, lines ...string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tell")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+strings.Join(lines, "\n")+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{"/bin/sh", path}
}

// heard collects what a Notifier says of itself.
type heard struct {
	mu  sync.Mutex
	all []string
}

func (h *heard) add(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, err.Error())
}

// Each event comes once, in order, whole, and no key with it.
func TestSend(t *testing.T) {
	for name, value := range map[string]string{"JUSTRL_API_KEY": "k1", "JUSTRL_SHARE_TOKEN": "k2", "HF_TOKEN": "k3", "HUGGING_FACE_HUB_TOKEN": "k4", "SLACK_URL": "theirs"} {
		t.Setenv(name, value)
	}
	out := filepath.Join(t.TempDir(), "events")
	var h heard
	n := New(append(script(t, `cat >>"$1"`, `env >"$1.env"`), out), time.Minute, h.add)
	want := []Event{
		{Time: time.Unix(1, 0).UTC(), Event: RunStarted, Run: "r", Dir: "/runs/r", Steps: 9, Message: "started"},
		{Event: Signature, Step: 4, Steps: 9, Signature: "reward_drop", Action: "warn", Message: "it fell", Evidence: map[string]float64{"fell": 0.5}},
		{Event: ServerFenced, Server: "http://a", Message: "went \"away\""},
	}
	for _, e := range want {
		n.Send(e)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n.Send(Event{Event: "late"})
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got []Event
	for line := range strings.Lines(string(b)) {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	env, err := os.ReadFile(out + ".env")
	if err != nil {
		t.Fatal(err)
	}
	if s := string(env); strings.Contains(s, "JUSTRL_") || strings.Contains(s, "k3") || strings.Contains(s, "k4") || !strings.Contains(s, "SLACK_URL=theirs") {
		t.Errorf("its environment:\n%s", s)
	}
	if len(h.all) > 0 {
		t.Errorf("said %q", h.all)
	}
}

// Whatever the program does, the run hears of it once, in one line, in time.
func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name  string
		argv  []string
		limit time.Duration
		want  string
	}{
		{"not there", []string{"/no/such/program"}, time.Minute, "notify.command: fork/exec /no/such/program: no such file or directory; the run goes on without"},
		{"says why", script(t, "echo one >&2", "echo no route to chat >&2", "exit 3"), time.Minute, "exit status 3; its standard error ends: no route to chat; the run goes on without"},
		{"hangs", script(t, "trap '' TERM", "while :; do sleep 0.1; done"), 500 * time.Millisecond, "ran longer than 500ms (notify.timeout); the run goes on without"},
		{"reads nothing", script(t, "exit 0"), time.Minute, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h heard
			n := New(c.argv, c.limit, h.add)
			n.Send(Event{Message: strings.Repeat("x", 1<<20)})
			n.Send(Event{})
			began := time.Now()
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); c.limit < time.Second && took > 20*time.Second {
				t.Errorf("closing took %v", took)
			}
			switch {
			case c.want == "" && len(h.all) > 0:
				t.Errorf("said %q", h.all)
			case c.want != "" && (len(h.all) != 2 || !strings.HasSuffix(h.all[0], c.want) || strings.Contains(h.all[0], "\n") || h.all[1] != "notify.command failed 2 times"):
				t.Errorf("said %q, want one that ends %q and how many there were", h.all, c.want)
			}
		})
	}
}

// A run that has more to say than the program can take does not wait for it.
func TestFullQueue(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	var h heard
	n := New(append(script(t, `until [ -e "$1" ]; do sleep 0.02; done`), gate), time.Minute, h.add)
	for i := range 3 * queued {
		n.Send(Event{Event: fmt.Sprint(i)}) // returns, or the test does not end
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.all) != 2 || !strings.Contains(h.all[0], "64 events wait for it") {
		t.Errorf("said %q", h.all)
	}
}

// Without a program nothing is done.
func TestNoProgram(t *testing.T) {
	n := New(nil, time.Second, func(err error) { t.Error(err) })
	n.Send(Event{})
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}
