package atomicdir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullDisk fills a small file system: the error must say so and name the
// folder, and the half-written one must be gone.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("SKIPPED: a tmpfs cannot be mounted here (root is needed): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(disk, "out")
	_, err := Create(dir, Marker{}, func(tmp string) error {
		return os.WriteFile(filepath.Join(tmp, "big"), make([]byte, 1<<20), 0o666)
	})
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("fill on a full disk: %v, want ENOSPC", err)
	}
	wantNames(t, disk)

	// Exactly full after fill: now it is the marker that has no room.
	_, err = Create(dir, Marker{}, func(tmp string) error {
		f, err := os.Create(filepath.Join(tmp, "big"))
		if err != nil {
			return err
		}
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Error(err)
		}
		return f.Close()
	})
	wantError(t, err, "the disk is full")
	if !strings.Contains(err.Error(), dir) {
		t.Errorf("%q does not name the folder", err)
	}
	wantNames(t, disk)
	if _, err := Create(dir, Marker{}, files(map[string]string{"small": "1"})); err != nil {
		t.Errorf("after making room: %v", err)
	}
}
