package watched

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Lock
		n, woken := 0, make(chan int, 2)
		for _, want := range []int{2, 3} {
			go func() { // the bubble waits for it
				if err := l.Until(t.Context(), func() bool { return n >= want }); err != nil {
					t.Error(err)
				}
				woken <- want
			}()
		}
		for i := 1; i <= 3; i++ {
			l.Change(func() { n = i })
			synctest.Wait()
			if got := len(woken); got != max(0, i-1) {
				t.Errorf("%d are awake at %d", got, i)
			}
		}
		if err := l.Until(t.Context(), func() bool { return true }); err != nil {
			t.Errorf("what holds already: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Until(ctx, func() bool { return false }) }()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("a context that ends: %v", err)
		}
	})
}
