package hub

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a lock that another process has is tried; flock cannot
// be waited for with a context.
const lockPoll = 100 * time.Millisecond

// lock opens the file at path, made if need be, and locks it as Python's filelock
// does. It waits, and calls waiting once when it has to. Closing the file is the unlocking.
//
// A file system that has no locks is written to without: see the package's doc.
func lock(ctx context.Context, path string, waiting func()) (*os.File, error) {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for first := true; ; first = false {
		f, err := tryLock(path)
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) {
			return f, err
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// tryLock is lock without waiting: EWOULDBLOCK if another has it.
func tryLock(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOLCK):
			return f, nil
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, errors.Join(err, f.Close())
		default:
			// Who had it before may have renamed or removed the file.
			held, err := f.Stat()
			if err != nil {
				return nil, errors.Join(err, f.Close())
			}
			if there, err := os.Stat(path); err == nil && os.SameFile(held, there) {
				return f, nil
			}
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}
