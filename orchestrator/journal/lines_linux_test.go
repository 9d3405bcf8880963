package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A line that finds no room says so, names the file, and leaves none of itself.
func TestLineOnAFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=8k"); err != nil { // a page of it is for a file
		t.Skipf("SKIPPED: a tmpfs cannot be mounted here (root is needed): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(disk, "steps.jsonl")
	l, err := openLines(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.f.Close() //nolint:errcheck // what is in it is read
	if err := l.append(strings.Repeat("a", 3000)); err != nil {
		t.Fatal(err)
	}
	err = l.append(strings.Repeat("b", 20000)) // a part of it has room
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), path+": the disk is full; free some space") {
		t.Errorf("a line without room: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || len(b) != 3003 || b[len(b)-1] != '\n' {
		t.Errorf("%d bytes are left, %v", len(b), err)
	}
	if err := l.append("c"); err != nil {
		t.Errorf("a short line after it: %v", err)
	}
	if all, err := readLines[string](l); err != nil || len(all) != 2 || all[1] != "c" {
		t.Errorf("%d lines, %v", len(all), err)
	}
}
