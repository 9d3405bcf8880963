package agent

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/justrl/justrl/internal/atomicdir"
)

// A full disk ends a pull with one line, leaves the snapshots that are there,
// and gives back what it had taken.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("SKIPPED: a tmpfs cannot be mounted here (root is needed): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	tr := newTrainer(t, chunk)
	good := blobs{"model.safetensors": random(50*chunk, 1)}
	t.Run("told before anything is written", func(t *testing.T) {
		p := newPuller(t, serve(t, tr.share), filepath.Join(disk, "agent"))
		first, err := p.pull(t.Context(), asked(tr.publish(t, 1, good)), &counts{})
		if err != nil {
			t.Fatal(err)
		}
		before := content(t, disk)
		_, err = p.pull(t.Context(), asked(tr.publish(t, 2, blobs{"model.safetensors": random(300*chunk, 2)})), &counts{})
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "free some space") || strings.Contains(err.Error(), "\n") {
			t.Errorf("error is %v", err)
		}
		if after := content(t, disk); len(after) != len(before) {
			t.Errorf("left behind: %d files, were %d", len(after), len(before))
		}
		if err := atomicdir.Verify(first.Dir); err != nil {
			t.Error(err)
		}
		// It becomes full meanwhile: another program's doing.
		next := blobs{"model.safetensors": random(100*chunk, 3)}
		s := tr.publish(t, 3, next)
		m, raw, err := p.manifest(t.Context(), asked(s))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.folder.begin(raw); err != nil { // a pull that was begun when there was room
			t.Fatal(err)
		}
		if err := p.folder.root.WriteFile("other", make([]byte, 120*chunk), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err = p.pull(t.Context(), asked(s), &counts{}); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "the disk is full") {
			t.Errorf("error is %v", err)
		}
		if _, err := p.folder.root.Lstat(pullName); !gone(err) {
			t.Errorf("the pull's folder still fills the disk: %v", err)
		}
		if err := atomicdir.Verify(first.Dir); err != nil {
			t.Error(err)
		}
		if err := p.folder.root.Remove("other"); err != nil {
			t.Fatal(err)
		}
		got, err := p.pull(t.Context(), asked(s), &counts{})
		if err != nil || m.Version != got.Version {
			t.Fatal(err)
		}
		same(t, got, next)
	})
}
