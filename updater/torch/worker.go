//go:build torch

package torch

import (
	"errors"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
)

var errClosed = errors.New("torch: the trainer is closed")

// worker runs everything that touches libtorch on one OS thread: gotch's last
// error, torch's grad mode and its OpenMP threads all belong to a thread.
type worker struct {
	mu    sync.Mutex // held while a call runs: one at a time, and none after close
	calls chan func()
	group errgroup.Group
	open  bool
}

func startWorker() *worker {
	w := &worker{calls: make(chan func()), open: true}
	w.group.Go(func() error {
		runtime.LockOSThread() // never unlocked: the thread ends with the worker
		for call := range w.calls {
			call()
		}
		return nil
	})
	return w
}

// do runs f on the worker's thread and returns its error.
func (w *worker) do(f func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.open {
		return errClosed
	}
	done := make(chan error, 1)
	w.calls <- func() { done <- f() }
	return <-done
}

// close runs last on the worker's thread and ends it; later calls do nothing.
func (w *worker) close(last func() error) error {
	err := w.do(last)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.open {
		return nil
	}
	w.open = false
	close(w.calls)
	return errors.Join(err, w.group.Wait())
}
