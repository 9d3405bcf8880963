//go:build torch

package e2e

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/internal/cli"
)

// A disk that fills up ends the run in one line that says so, with nothing
// half-written on it; with more room it goes on and ends as if nothing had been.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=7m"); err != nil {
		t.Skipf("SKIPPED: a tmpfs cannot be mounted here (root is needed): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	whole, out := filepath.Join(t.TempDir(), "whole"), filepath.Join(disk, "run")
	must(t, small(scripted(t, nil), whole, "--steps", "3")...)

	server := scripted(t, nil)
	r := justrl(t.Context(), t, small(server, out, "--steps", "3")...) // two snapshots fit, a third does not
	if r.code != cli.ExitFailed || !strings.Contains(r.lastLine(), "the disk is full") || !strings.Contains(r.lastLine(), disk) {
		t.Errorf("exit code %d, last line %q", r.code, r.lastLine())
	}
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".") {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	must(t, "run", "--resume", "--server", server.URL, "--out", out)
	sameRun(t, whole, out, 3)
}
