//go:build torch && vllm

package e2e

import (
	"crypto/rand"
	"net/http"
	"testing"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	bridgevllm "github.com/justrl/justrl/bridge/vllm"
	"github.com/justrl/justrl/internal/endpoint"
)

// The suite that every publisher passes, on the real thing. (The generator's
// is sampler/vllm's; this one needs real weights, which the bridge does not know.)
func TestVLLMPublisherConformance(t *testing.T) {
	e, err := endpoint.New(server, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	want, err := inspector{}.Tensors(policy)
	if err != nil {
		t.Fatal(err)
	}
	bridgetest.Publisher(t, func(t *testing.T) bridgetest.Harness {
		p, err := bridgevllm.New(e, bridgevllm.Options{Model: "policy", Run: rand.Text(), Want: want, Inspector: inspector{}})
		if err != nil {
			t.Fatal(err)
		}
		root := t.TempDir()
		return bridgetest.Harness{
			Publisher: p, Server: bridgetest.Scorer{URL: server, Model: "policy"}, Probes: longProbes(vocabulary(t)),
			Publish: func(t *testing.T, version int64, which string) bridge.Snapshot {
				factor := map[string]float32{"a": 1, "b": 1.01}[which]
				s := bridge.Snapshots{Root: root, Exporter: scaled(factor), Inspector: inspector{}, Want: want}
				snapshot, err := s.Publish(t.Context(), version, int(version))
				if err != nil {
					t.Fatal(err)
				}
				return snapshot
			},
			Paused: func() (bool, error) {
				var reply struct {
					IsPaused bool `json:"is_paused"`
				}
				err := e.Do(t.Context(), http.MethodGet, "/is_paused", nil, &reply)
				return reply.IsPaused, err
			},
		}
	})
}

// longProbes are sequences within a block of the prefix cache (128 tokens on a CPU) and over several.
func longProbes(vocab int) [][]int32 {
	var probes [][]int32
	for i, n := range []int{20, 200, 400} {
		p := make([]int32, n)
		for t := range p {
			p[t] = int32((i*131 + t*t*7 + t) % (vocab - 64))
		}
		probes = append(probes, p)
	}
	return probes
}
