package vllm

import (
	"strings"
	"testing"

	"github.com/justrl/justrl/bridge/bridgetest"
)

// A server has its own weights again: after a load, after one that left it
// paused, and not without a word if it cannot.
func TestRestore(t *testing.T) {
	own := exported(t, theta0)
	t.Run("after a load", func(t *testing.T) {
		r := newRig(t)
		if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.2))); err != nil {
			t.Fatal(err)
		}
		if err := Restore(t.Context(), r.publisher.e, own); err != nil || r.Paused() || r.Model().Theta != theta0.Theta {
			t.Errorf("%v; paused %t, serves %v", err, r.Paused(), r.Model())
		}
		if tag, err := r.publisher.shownTag(t.Context()); err != nil || tag != ownTag {
			t.Errorf("tag %q, %v", tag, err)
		}
	})
	t.Run("after a load that left it paused", func(t *testing.T) {
		r := newRig(t)
		r.Set(bridgetest.Faults{FailReloads: 2})
		if err := r.publisher.Load(t.Context(), r.publish(t, 1, theta0.Moved(0.2))); err == nil || !r.Paused() {
			t.Fatalf("%v; paused %t", err, r.Paused())
		}
		if err := Restore(t.Context(), r.publisher.e, own); err != nil || r.Paused() || r.Model().Theta != theta0.Theta {
			t.Errorf("%v; paused %t, serves %v", err, r.Paused(), r.Model())
		}
	})
	t.Run("from nowhere", func(t *testing.T) {
		r := newRig(t)
		if err := Restore(t.Context(), r.publisher.e, ""); err == nil || !strings.Contains(err.Error(), "does not say where they are") || r.Paused() {
			t.Errorf("%v; paused %t", err, r.Paused())
		}
		r.Set(bridgetest.Faults{FailReloads: 2})
		if err := Restore(t.Context(), r.publisher.e, own); err == nil || !strings.Contains(err.Error(), "left paused") || !r.Paused() {
			t.Errorf("%v; paused %t", err, r.Paused())
		}
	})
}
