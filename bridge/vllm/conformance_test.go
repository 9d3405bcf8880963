package vllm

import (
	"testing"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
)

func TestConformanceOnFake(t *testing.T) {
	bridgetest.Publisher(t, func(t *testing.T) bridgetest.Harness {
		r := newRig(t)
		weights := map[string]bridgetest.Model{"a": theta0, "b": theta0.Moved(0.05)}
		return bridgetest.Harness{
			Publisher: r.publisher, Server: r.scorer(), Probes: bridgetest.Probes(),
			Publish: func(t *testing.T, version int64, which string) bridge.Snapshot {
				return r.publish(t, version, weights[which])
			},
			Paused: func() (bool, error) { return r.Paused(), nil },
		}
	})
}
