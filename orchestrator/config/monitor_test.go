package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestMonitorFaults(t *testing.T) {
	for _, tc := range []struct {
		set, want string
	}{
		{"monitor.window=1", "monitor.window: must be at least 2, is 1"},
		{"monitor.rearm=0", "monitor.rearm: must be at least 1, is 0"},
		{"monitor.compare_every=-1", "monitor.compare_every: must be 0 (none) or more, is -1"},
		{"monitor.compare_sample=0", "monitor.compare_sample: must be at least 1, is 0"},
		{"monitor.rescore_every=-1", "monitor.rescore_every: must be 0 (none) or more, is -1"},
		{"monitor.rescore_sample=0", "monitor.rescore_sample: must be at least 1, is 0"},
		{"monitor.reward_drop.action=shout", `monitor.reward_drop.action: must be one of off, warn, pause, stop, is "shout"`},
		{"monitor.truncated.threshold=0", "monitor.truncated.threshold: must be more than 0, is 0"},
		{"monitor.truncated.threshold=.nan", "monitor.truncated.threshold: must be more than 0, is NaN"},
		{"monitor.length_explosion.threshold=1", "monitor.length_explosion.threshold: must be more than 1, is 1"},
	} {
		c := rewardWith(t, tc.set)
		if err := c.Validate(); err == nil || err.Error() != tc.want {
			t.Errorf("%s: %v, want %s", tc.set, err, tc.want)
		}
	}
	c := rewardWith(t, "monitor.window=0", "monitor.copied.action=no", "monitor.looping.threshold=-1")
	if err := c.Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("three faults: %v", err)
	}
}

// Every signature is found by its key, and what a mapping in a file leaves out stays.
func TestSignatures(t *testing.T) {
	c := rewardWith(t, "monitor.reward_drop={action: pause}")
	all := c.Monitor.Signatures()
	if got := all["reward_drop"]; got != (Signature{ActionPause, 0.3}) {
		t.Errorf("reward_drop is %+v", got)
	}
	n := 0
	for f := range reflect.TypeFor[Monitor]().Fields() {
		if f.Type == reflect.TypeFor[Signature]() {
			n++
		}
	}
	if len(all) != n || n == 0 {
		t.Errorf("%d signatures of %d", len(all), n)
	}
}
