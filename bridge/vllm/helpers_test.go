package vllm

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/internal/endpoint"
)

// theta0 is where the fake server and every trainer of these tests begin.
var theta0 = bridgetest.Model{Theta: [8]float64{0.9, -0.5, 0.3, 0.7, -0.2, 0.1, 0.4, -0.6}}

// rig is a fake server, a publisher for it and a folder of snapshots.
type rig struct {
	*bridgetest.Server
	publisher *Publisher
	root      string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOf(t, bridgetest.Newest, "")
}

// newRigOf is newRig for another vLLM, loaded in the way that sync forces.
func newRigOf(t *testing.T, b bridgetest.Build, sync string) *rig {
	t.Helper()
	r := &rig{Server: bridgetest.NewBuild(t, theta0, b), root: filepath.Join(t.TempDir(), "snapshots")}
	r.publisher = r.newPublisher(t, sync)
	return r
}

func (r *rig) newPublisher(t *testing.T, sync string) *Publisher {
	t.Helper()
	p, err := New(r.endpoint(t), r.options(sync))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (r *rig) endpoint(t *testing.T) *endpoint.Endpoint {
	t.Helper()
	e, err := endpoint.New(r.URL, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func (r *rig) options(sync string) Options {
	return Options{
		Model: "tiny", Run: "run", Want: bridgetest.Tensors(), Inspector: bridgetest.Inspector{}, Recovery: 5 * time.Second,
		Sync: sync, Open: func(dir string) (Weights, error) { return bridgetest.Load(dir) },
	}
}

// publish makes a snapshot of m that passes the check of publishing, whatever m claims.
func (r *rig) publish(t *testing.T, version int64, m bridgetest.Model) bridge.Snapshot {
	t.Helper()
	want, err := (bridgetest.Inspector{}).Tensors(exported(t, m))
	if err != nil {
		t.Fatal(err)
	}
	s := bridge.Snapshots{Root: r.root, Exporter: m, Inspector: bridgetest.Inspector{}, Want: want}
	out, err := s.Publish(t.Context(), version, int(version))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func exported(t *testing.T, m bridgetest.Model) string {
	t.Helper()
	dir := t.TempDir()
	if err := m.Export(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (r *rig) scorer() bridgetest.Scorer { return bridgetest.Scorer{URL: r.URL, Model: "tiny"} }
