package vllm

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/justrl/justrl/internal/filelock"
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
	unlock, err = filelock.Wait(ctx, filepath.Join(root, lockName), lockPoll)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%s: another server is being loaded from this folder: %w", root, context.Cause(ctx))
	}
	return unlock, err
}
