package agent

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/bridge/share"
	"github.com/justrl/justrl/bridge/vllm"
)

// theta0 is what the fake server begins with.
var theta0 = bridgetest.Model{Theta: [8]float64{0.9, -0.5, 0.3, 0.7, -0.2, 0.1, 0.4, -0.6}}

// rig is a fake vLLM with an agent beside it, and a trainer that shares.
type rig struct {
	*bridgetest.Server
	agent     *Agent
	publisher *Publisher
	root      string // the trainer's snapshots
	dir       string // the agent's
}

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	r := &rig{Server: bridgetest.NewServer(t, theta0), root: filepath.Join(t.TempDir(), "snapshots"), dir: filepath.Join(t.TempDir(), "agent")}
	r.withShare(t, r.root, change)
	return r
}

// withShare starts an agent for r's server that pulls what is at root.
func (r *rig) withShare(t *testing.T, root string, change func(*Options)) {
	t.Helper()
	h, err := share.New(share.Options{Run: "run1", ChunkSize: chunk, Open: func(v int64) (bridge.Snapshot, error) { return bridge.Find(root, v) }})
	if err != nil {
		t.Fatal(err)
	}
	local := dial(t, r.URL, nil)
	open := func(_ context.Context, run string, first bridge.Snapshot) (bridge.Publisher, error) {
		want, err := bridgetest.Inspector{}.Tensors(first.Dir)
		if err != nil {
			return nil, err
		}
		return vllm.New(local, vllm.Options{Model: "tiny", Run: run, Want: want, Inspector: bridgetest.Inspector{}, Recovery: 5 * time.Second})
	}
	o := Options{Dir: r.dir, Trainer: dial(t, serve(t, h), nil), Open: open, Retry: quick}
	if change != nil {
		change(&o)
	}
	if r.agent, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.agent.Close(); err != nil {
			t.Error(err)
		}
	})
	prober, err := vllm.New(local, vllm.Options{Model: "tiny", Run: "run1", Want: bridgetest.Tensors(), Inspector: bridgetest.Inspector{}})
	if err != nil {
		t.Fatal(err)
	}
	r.publisher, err = NewPublisher(dial(t, serve(t, r.agent), nil), PublisherOptions{
		Run: "run1", Server: r.URL, Want: bridgetest.Tensors(), Inspector: bridgetest.Inspector{}, Prober: prober, Retry: quick,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) publish(t *testing.T, version int64, m bridgetest.Model) bridge.Snapshot {
	t.Helper()
	s, err := (&bridge.Snapshots{Root: r.root, Exporter: m, Inspector: bridgetest.Inspector{}, Want: bridgetest.Tensors()}).Publish(t.Context(), version, int(version))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformanceOnFake(t *testing.T) {
	bridgetest.Publisher(t, func(t *testing.T) bridgetest.Harness {
		r := newRig(t, nil)
		weights := map[string]bridgetest.Model{"a": theta0, "b": theta0.Moved(0.05)}
		return bridgetest.Harness{
			Publisher: r.publisher, Server: bridgetest.Scorer{URL: r.URL, Model: "tiny"}, Probes: bridgetest.Probes(),
			Publish: func(t *testing.T, version int64, which string) bridge.Snapshot {
				return r.publish(t, version, weights[which])
			},
			Paused: func() (bool, error) { return r.Paused(), nil },
		}
	})
}
