// Package watched is a lock on state that others wait for: a condition
// variable whose wait ends with a context, which sync.Cond's cannot.
package watched

import (
	"context"
	"sync"
)

// Lock guards a state. The zero value is ready; it must not be copied.
type Lock struct {
	sync.Mutex
	changed chan struct{} // closed and replaced at every change; nil before anybody waited
}

// Change runs f under the lock and wakes everybody who waits.
func (l *Lock) Change(f func()) {
	l.Lock()
	defer l.Unlock()
	f()
	l.Wake()
}

// Wake lets everybody who waits look again; the lock is held.
func (l *Lock) Wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Until waits for cond, which is called under the lock and may change the
// state. It returns ctx's error if that ends first.
func (l *Lock) Until(ctx context.Context, cond func() bool) error {
	for {
		changed := l.look(cond)
		if changed == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look is nil if cond holds, else what the next change closes.
func (l *Lock) look(cond func() bool) <-chan struct{} {
	l.Lock()
	defer l.Unlock()
	if cond() {
		return nil
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}
