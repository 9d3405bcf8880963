//go:build torch

package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// moment is a state of a run that a test wants to stop it in.
type moment struct {
	// near is seen shortly before and in it; from then on the process is stopped and
	// let go on again and again, so that a state of microseconds is met. nil for a long one.
	near func(disk) bool
	// at is looked at while nothing in the process moves: it is the state.
	at func(disk) bool
	// phase is what the run's own /metrics must have said before that; "" for anything.
	phase string
}

// watchedRun is a run in a process of its own that can be stopped in a moment.
type watchedRun struct {
	t   *testing.T
	cmd *exec.Cmd
	out disk

	mu     sync.Mutex
	stderr bytes.Buffer

	ended chan struct{} // closed when err holds how it ended
	err   error
}

// Write implements io.Writer, for the process's stderr.
func (r *watchedRun) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stderr.Write(b)
}

func (r *watchedRun) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stderr.String()
}

func (r *watchedRun) lastLine() string { return result{stderr: r.said()}.lastLine() }

// watch starts a command that trains in out.
func watch(t *testing.T, cmd *exec.Cmd, out string) *watchedRun {
	t.Helper()
	r := &watchedRun{t: t, cmd: cmd, out: disk(out), ended: make(chan struct{})}
	cmd.Stderr = r
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		r.err = cmd.Wait()
		close(r.ended)
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		waiting.Wait()
	})
	return r
}

// stopIn waits for the moment and leaves the process stopped in it; false if the
// process ended without having been met in it.
func (r *watchedRun) stopIn(m moment) bool {
	r.t.Helper()
	tick := time.NewTicker(200 * time.Microsecond) // a process's files have no other way to tell
	defer tick.Stop()
	for {
		if m.near != nil && m.near(r.out) || m.near == nil && m.at(r.out) && r.in(m.phase) {
			if !r.stop() {
				return false
			}
			if m.at(r.out) {
				return true
			}
			r.goOn()
		}
		select {
		case <-r.ended:
			return false
		case <-tick.C:
		}
	}
}

// stop returns when all threads stand still; false if the process has ended.
func (r *watchedRun) stop() bool {
	r.t.Helper()
	if err := r.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		<-r.ended
		return false
	}
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, r.cmd.Process.Pid, &info, unix.WSTOPPED|unix.WNOHANG, nil)
		if err == nil && info.Signo != 0 {
			return true
		}
		select {
		case <-r.ended:
			return false
		default:
		}
	}
}

func (r *watchedRun) goOn() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(unix.SIGCONT); err != nil {
		r.t.Fatal(err)
	}
}

// kill ends it at once, stopped or not.
func (r *watchedRun) kill() {
	r.t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	<-r.ended
	if status, ok := r.cmd.ProcessState.Sys().(interface{ Signal() unix.Signal }); !ok || status.Signal() != unix.SIGKILL {
		r.t.Fatalf("the process was not killed: %v", r.err)
	}
}

// code waits for the end and returns the exit code.
func (r *watchedRun) code() int {
	<-r.ended
	return r.cmd.ProcessState.ExitCode()
}

var listening = regexp.MustCompile(`on (http://127\.0\.0\.1:[0-9]+) \(/metrics`)

// in tells whether the run says that it is in a phase.
func (r *watchedRun) in(phase string) bool {
	if phase == "" {
		return true
	}
	return strings.Contains(r.metrics(), `justrl_phase{phase="`+phase+`"} 1`)
}

// metrics is the run's /metrics; "" where it does not answer.
func (r *watchedRun) metrics() string {
	m := listening.FindStringSubmatch(r.said())
	if m == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m[1]+"/metrics", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(b)
}
