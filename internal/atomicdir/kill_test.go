package atomicdir

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A process that is killed while it fills a folder leaves a temporary one,
// and no lock on it.
func TestKilled(t *testing.T) {
	const env = "ATOMICDIR_TEST_KILLED"
	if dir := os.Getenv(env); dir != "" { // the process that is killed
		_, err := Create(dir, Marker{}, func(tmp string) error {
			return errors.Join(files(map[string]string{"half": "1"})(tmp), syscall.Kill(os.Getpid(), syscall.SIGKILL))
		})
		t.Fatalf("not killed: %v", err)
	}
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), env+"="+dir)
	if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended with %v:\n%s", err, out)
	}
	left := names(t, parent)
	if len(left) != 1 || left[0][:len(prefix(dir))] != prefix(dir) {
		t.Fatalf("left behind: %q, want a temporary folder", left)
	}
	if _, err := Read(dir); !errors.Is(err, ErrIncomplete) {
		t.Errorf("Read: %v, want ErrIncomplete", err)
	}
	// The name may never come again; meanwhile another is being filled.
	_, err := Create(filepath.Join(parent, "next"), Marker{}, func(tmp string) error {
		if err := Sweep(parent); err != nil {
			return err
		}
		wantNames(t, parent, filepath.Base(tmp))
		return files(map[string]string{"whole": "1"})(tmp)
	})
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, parent, "next")
}
