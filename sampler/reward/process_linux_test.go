package reward

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A program that hangs does not outlive the process that asks it, even where
// that is killed and can do nothing about it.
func TestCommandDiesWithUs(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "hangs")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	us := exec.CommandContext(t.Context(), os.Args[0], asDoomed, filepath.Join(dir, "log"), "freeze "+fifo)
	if err := us.Start(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(fifo) // until it hangs
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	if !alive(pid) {
		t.Fatal("the program does not hang")
	}
	if err := us.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = us.Wait() // killed
	for deadline := time.Now().Add(10 * time.Second); alive(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("the program, process %d, outlives us", pid)
		}
	}
}

// The thread that started a program is held, and given back with it: any
// other's end must not kill it.
func TestCommandOutlivesOtherThreads(t *testing.T) {
	c, log := command(t, 1)
	for range 20 {
		gone := make(chan error)
		go func() { // its thread ends with it, as it is not unlocked
			runtime.LockOSThread()
			_, err := c.Verify(context.Background(), "x", "x")
			gone <- err
		}()
		if err := <-gone; err != nil {
			t.Fatal(err)
		}
	}
	if n := len(pids(t, log)); n != 1 {
		t.Errorf("%d programs were started", n)
	}
}
