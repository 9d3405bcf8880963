// Package notify tells a program of the user's what happens to a run: started,
// finished, interrupted, failed, a server out or back, a failure signature. The
// program is started once an event, with the event as one JSON object on its
// standard input, and may send a mail, post to a chat, page somebody.
//
// It can neither hold the run up nor end it: events wait in a short queue, each
// has its time, and what fails is said once. It does not see this program's keys:
// no JUSTRL_… variable and no token of the Hugging Face hub is in its environment.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// The kinds of an Event.
const (
	RunStarted     = "run_started"
	RunFinished    = "run_finished"
	RunInterrupted = "run_interrupted" // it can be resumed
	RunFailed      = "run_failed"
	ServerFenced   = "server_fenced"
	ServerRejoined = "server_rejoined"
	Signature      = "signature" // of a failure, seen by the monitor
)

// Event is what the program gets.
type Event struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"` // the kind
	Run     string    `json:"run"`   // its id
	Dir     string    `json:"dir"`   // its directory
	Host    string    `json:"host"`
	Step    int       `json:"step"`    // steps done
	Steps   int       `json:"steps"`   // to do
	Message string    `json:"message"` // what happened, on one line

	Server    string             `json:"server,omitempty"`
	Signature string             `json:"signature,omitempty"`
	Action    string             `json:"action,omitempty"` // warn, pause, stop
	Evidence  map[string]float64 `json:"evidence,omitempty"`
}

const (
	queued = 64              // events that may wait
	grace  = 2 * time.Second // to end after it was told to
)

// Notifier runs the program. It is safe for concurrent use.
type Notifier struct {
	argv  []string
	limit time.Duration
	told  func(error)

	events chan Event
	worker errgroup.Group
	ctx    context.Context // of the program, and its end
	stop   context.CancelFunc

	mu     sync.Mutex
	closed bool
	failed int
}

// New begins to tell argv, program and arguments, which has limit for an event.
// told hears of the first failure, and at the end how many there were. The caller
// closes the Notifier. Without argv it tells nobody.
func New(argv []string, limit time.Duration, told func(error)) *Notifier {
	n := &Notifier{argv: argv, limit: limit, told: told, events: make(chan Event, queued)}
	n.ctx, n.stop = context.WithCancel(context.Background())
	n.worker.Go(func() error {
		for e := range n.events {
			if err := n.run(e); err != nil {
				n.fails(err)
			}
		}
		return nil
	})
	return n
}

// Send queues an event and returns at once. With too many waiting it is lost,
// which is a failure like any other; after Close it is nothing.
func (n *Notifier) Send(e Event) {
	if len(n.argv) == 0 {
		return
	}
	if !n.queue(e) {
		n.fails(fmt.Errorf("%d events wait for it, and %q is lost", queued, e.Event))
	}
}

// queue tells whether there was room for e, or it is too late to tell anybody.
func (n *Notifier) queue(e Event) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return true
	}
	select {
	case n.events <- e:
		return true
	default:
		return false
	}
}

// Close gives the program the time of one event for all that still wait, then
// ends it. It is safe to call twice.
func (n *Notifier) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	close(n.events)
	n.mu.Unlock()
	timer := time.AfterFunc(n.limit, n.stop)
	err := n.worker.Wait()
	timer.Stop()
	n.stop()
	n.mu.Lock()
	failed := n.failed
	n.mu.Unlock()
	if failed > 1 {
		n.told(fmt.Errorf("notify.command failed %d times", failed))
	}
	return err
}

// fails tells the first failure.
func (n *Notifier) fails(err error) {
	n.mu.Lock()
	n.failed++
	first := n.failed == 1
	n.mu.Unlock()
	if first {
		n.told(fmt.Errorf("notify.command: %w; the run goes on without", err))
	}
}

// run tells the program one event.
func (n *Notifier) run(e Event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	said, err := os.CreateTemp("", "justrl-notify-*.log")
	if err != nil {
		return err
	}
	defer os.Remove(said.Name()) //nolint:errcheck // a file of the temporary folder
	defer said.Close()           //nolint:errcheck // nothing of ours was written

	ctx, cancel := context.WithTimeout(n.ctx, n.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.argv[0], n.argv[1:]...)
	cmd.Env = slices.DeleteFunc(os.Environ(), secret)
	cmd.Stdin = bytes.NewReader(append(b, '\n'))
	cmd.Stderr = said // a file: what the program leaves running would hold a pipe open
	// A group of its own: Ctrl-C on the terminal is for us, and what it starts is ended with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	if err := cmd.Start(); ctx.Err() != nil && err != nil {
		return fmt.Errorf("%s: no time was left for %q (notify.timeout is %v)", n.argv[0], e.Event, n.limit)
	} else if err != nil {
		return err
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return fmt.Errorf("%s ran longer than %v (notify.timeout)", n.argv[0], n.limit)
	}
	if err != nil {
		return fmt.Errorf("%s: %w%s", n.argv[0], err, lastLine(said.Name()))
	}
	return nil
}

// secret tells variables that the program must not see: ours, keys among them,
// and the hub's tokens.
func secret(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return strings.HasPrefix(name, "JUSTRL_") || name == "HF_TOKEN" || name == "HUGGING_FACE_HUB_TOKEN"
}

// lastLine is what a program said last; "" for nothing.
func lastLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	b = bytes.TrimSpace(b)
	b = b[bytes.LastIndexByte(b, '\n')+1:]
	if len(b) > 400 {
		b = b[len(b)-400:]
	}
	if len(b) == 0 {
		return ""
	}
	return "; its standard error ends: " + strings.ToValidUTF8(string(b), "�")
}
