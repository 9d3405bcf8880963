package hub

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a lock that another process has is tried; flock cannot
// be waited for with a context.
const lockPoll = 100 * time.Millisecond

// lease is a lock that this process has, or, where the file system gives none, the lack of it.
type lease struct {
	locked bool
	file   *os.File // nil without a lock
}

// close gives the lock back; its file stays, for Python's filelock has it so.
func (l lease) close() {
	if l.file != nil {
		_ = l.file.Close() // nothing was written to it
	}
}

// remove is close for a file that nobody else uses as a lock. Who waits for it
// looks whether what was locked is still there.
func (l lease) remove() {
	if l.file != nil {
		_ = os.Remove(l.file.Name()) // an empty file more
	}
	l.close()
}

// lock opens the file at path, made if need be, and locks it as Python's filelock
// does. It waits, and tells Notice once when it has to; what names what is fetched.
//
// A file system that has no locks gives a lease that is not locked, and no file:
// for filelock, that would be somebody's lock, for ever.
func (c *Client) lock(ctx context.Context, path, what string) (lease, error) {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for first := true; ; first = false {
		l, err := c.tryLock(path)
		if err == nil && !l.locked {
			c.unlocked.Do(func() {
				c.o.Notice("the file system of " + filepath.Dir(path) + " has no locks: what is broken off there begins anew the next time, processes that want the same fetch it each, and what a killed one leaves (.incomplete) takes room until a later fetch there removes it, after 3 days")
			})
		}
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) {
			return l, err
		}
		if first {
			c.o.Notice("waiting for another process that fetches " + what)
		}
		select {
		case <-ctx.Done():
			return lease{}, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// tryLock is lock without waiting: EWOULDBLOCK if another has it.
func (c *Client) tryLock(path string) (lease, error) {
	for {
		f, made, err := openLock(path)
		if err != nil {
			return lease{}, err
		}
		err = c.flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOLCK):
			err = f.Close()
			if made {
				err = errors.Join(err, gone(os.Remove(path)))
			}
			return lease{}, err
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return lease{}, errors.Join(err, f.Close())
		default:
			// Who had it before may have renamed or removed the file.
			held, err := f.Stat()
			if err != nil {
				return lease{}, errors.Join(err, f.Close())
			}
			if there, err := os.Stat(path); err == nil && os.SameFile(held, there) {
				return lease{true, f}, nil
			}
		}
		if err := f.Close(); err != nil {
			return lease{}, err
		}
	}
}

// openLock opens a lock's file, and tells whether this call made it.
func openLock(path string) (f *os.File, made bool, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if !errors.Is(err, fs.ErrExist) {
		return f, err == nil, err
	}
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	return f, false, err
}
