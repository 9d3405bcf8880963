package safetensors

import (
	"os"

	"golang.org/x/sys/unix"
)

// eager writes a file and has the kernel bring it to the disk meanwhile, not
// only when it is synced: the disk works while the next tensor is made.
type eager struct {
	f  *os.File
	at int64
}

// eagerBytes are written, and then brought to the disk, at a time.
const eagerBytes = 8 << 20

func (e *eager) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		var n int
		n, err = e.f.Write(b[:min(len(b), eagerBytes)])
		// Only advice: where a file system knows no such thing, the sync does it all.
		_ = unix.SyncFileRange(int(e.f.Fd()), e.at, int64(n), unix.SYNC_FILE_RANGE_WRITE)
		e.at += int64(n)
		written, b = written+n, b[n:]
	}
	return written, err
}
