package safetensors

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullDisk writes two shards where only the first fits.
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
	l := Layout{Index: true}
	for i := range 2 {
		l.Files = append(l.Files, FileLayout{Name: fmt.Sprintf("%d.safetensors", i), Tensors: []Info{{Name: fmt.Sprint(i), DType: "U8", Shape: []int64{700 << 10}}}})
	}
	data := func(string) ([]byte, error) { return make([]byte, 700<<10), nil }
	for name, write := range map[string]func() error{
		"synced":    func() error { return Write(disk, l, data) },
		"hashed":    func() error { _, err := WriteHashed(disk, l, data); return err },
		"backwards": func() error { _, err := WriteHashed(disk, turned(l), data); return err },
	} {
		t.Run(name, func(t *testing.T) {
			err := write()
			wantError(t, err, ".safetensors: the disk is full", disk)
			if !errors.Is(err, unix.ENOSPC) {
				t.Errorf("%v is not ENOSPC", err)
			}
			if entries, err := os.ReadDir(disk); err != nil || len(entries) != 0 {
				t.Errorf("left behind: %v (%v)", entries, err)
			}
		})
	}
}
