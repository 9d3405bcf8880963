package sglang

import (
	"testing"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
)

func TestConformanceOnFake(t *testing.T) {
	for name, f := range map[string]faults{
		"as it comes": {}, "later names of the routes": {renamed: true},
		"before pauses": {noPause: true}, "before weight versions": {untagged: true},
	} {
		t.Run(name, func(t *testing.T) {
			bridgetest.Publisher(t, func(t *testing.T) bridgetest.Harness {
				r := newRig(t)
				r.set(f)
				weights := map[string]bridgetest.Model{"a": theta0, "b": theta0.Moved(0.05)}
				return bridgetest.Harness{
					Publisher: r.publisher, Server: r, Probes: bridgetest.Probes(),
					Publish: func(t *testing.T, version int64, which string) bridge.Snapshot {
						return r.publish(t, version, weights[which])
					},
					Paused: func() (bool, error) { _, paused, _ := r.state(); return paused, nil },
				}
			})
		})
	}
}
