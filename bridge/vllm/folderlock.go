package vllm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockName is the file in a folder whose weights are replaced that whoever
// replaces them, or has a server read them, holds a lock on.
const lockName = ".justrl-lock"

// lockPoll is the time between two tries at a lock that somebody else holds.
const lockPoll = 20 * time.Millisecond

// lockFolder waits for a folder's lock until ctx ends. Servers on one machine may
// have been started with the same folder: while one of them reads it, another
// one's load must not put another version there. The lock ends with unlock, or
// with the process.
func lockFolder(ctx context.Context, root string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(root, lockName), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%s: another server is being loaded from this folder: %w", root, context.Cause(ctx)), f.Close())
		}
	}
}
