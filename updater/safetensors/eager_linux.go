package safetensors

import (
	"os"

	"golang.org/x/sys/unix"
)

// eager writes a file and has the kernel bring it to the disk meanwhile, not
// only when it is synced: the disk works while the next tensor is made.
type eager struct {
	f       *os.File
	at      int64 // where the next byte goes
	started int64 // what is before it is on its way to the disk
}

// eagerBytes are written, and then brought to the disk, at a time.
const eagerBytes = 8 << 20

func (e *eager) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		var n int
		n, err = e.f.Write(b[:min(len(b), eagerBytes)])
		e.at += int64(n)
		e.start()
		written, b = written+n, b[n:]
	}
	return written, err
}

// start sends off whole pages: the last one is not full yet, and would go twice.
func (e *eager) start() {
	const page = 4096
	if end := e.at &^ (page - 1); end > e.started {
		// Only advice: where a file system knows no such thing, the sync does it all.
		_ = unix.SyncFileRange(int(e.f.Fd()), e.started, end-e.started, unix.SYNC_FILE_RANGE_WRITE)
		e.started = end
	}
}
