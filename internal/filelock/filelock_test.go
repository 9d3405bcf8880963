package filelock

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// One has the lock at a time; who waits gets it, or gives up with its context.
func TestWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Wait(t.Context(), path, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Wait(ctx, path, time.Millisecond); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v while another has it", err)
	}
	got := make(chan error)
	go func() {
		again, err := Wait(t.Context(), path, time.Millisecond)
		if err == nil {
			err = again()
		}
		got <- err
	}()
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}
