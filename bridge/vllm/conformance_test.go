package vllm

import (
	"testing"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
)

func TestConformanceOnFake(t *testing.T) {
	for _, way := range []string{WayFiles, WayInPlace, WayTransfer} {
		t.Run(way, func(t *testing.T) {
			bridgetest.Publisher(t, func(t *testing.T) bridgetest.Harness {
				b := bridgetest.Newest
				b.Engine, b.Root = tcpEngine, exported(t, theta0)
				r := newRigOf(t, b, way)
				weights := map[string]bridgetest.Model{"a": theta0, "b": theta0.Moved(0.05)}
				return bridgetest.Harness{
					Publisher: r.publisher, Server: r.scorer(), Probes: bridgetest.Probes(),
					Publish: func(t *testing.T, version int64, which string) bridge.Snapshot {
						return r.publish(t, version, weights[which])
					},
					Paused: func() (bool, error) { return r.Paused(), nil },
				}
			})
		})
	}
}
