package cli

import (
	"cmp"
	"math/rand/v2"
	"time"
)

// bring begins to bring a server back, unless somebody is at it.
func (k *keeper) bring(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.asking[name] || k.ctx.Err() != nil {
		return
	}
	k.asking[name] = true
	k.group.Go(func() error {
		for k.isOut(name) {
			k.bringOnce(name)
		}
		return nil
	})
}

// isOut tells whether a server is; if it is not, nobody is at it any more.
func (k *keeper) isOut(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.out[name] != nil && k.ctx.Err() == nil {
		return true
	}
	k.asking[name] = false
	return false
}

// bringOnce tries until the server is back or the run ends.
func (k *keeper) bringOnce(name string) {
	first, most := cmp.Or(k.first, 500*time.Millisecond), cmp.Or(k.most, 10*time.Second)
	k.mu.Lock()
	for range k.lies[name] { // who lies is not trusted again so soon
		first = min(2*first, most)
	}
	k.mu.Unlock()
	said := ""
	for wait := first; ; wait = min(2*wait, most) {
		wait := wait/2 + rand.N(wait) // servers that went together do not come back to a crowd
		select {
		case <-k.ctx.Done():
			return
		case <-time.After(wait):
		}
		k.mu.Lock()
		o := k.out[name]
		ours := o != nil && o.ours
		k.mu.Unlock()
		err := k.back(k.ctx, name, ours)
		if err == nil || k.ctx.Err() != nil {
			return
		}
		k.mu.Lock()
		if caught(err) {
			k.lies[name]++
		}
		if o := k.out[name]; o != nil && leftPaused(err) { // by the load that was to bring it back
			o.ours = true
		}
		k.mu.Unlock()
		if err.Error() != said {
			said = err.Error()
			k.still(name, err)
		}
	}
}
