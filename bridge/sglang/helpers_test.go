package sglang

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/internal/endpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// theta0 is where the fake server and every trainer of these tests begin.
var theta0 = bridgetest.Model{Theta: [8]float64{0.9, -0.5, 0.3, 0.7, -0.2, 0.1, 0.4, -0.6}}

// rig is a fake server, a publisher for it and a folder of snapshots.
type rig struct {
	*fake
	e         *endpoint.Endpoint
	publisher *Publisher
	root      string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{fake: newFake(t, theta0), root: filepath.Join(t.TempDir(), "snapshots")}
	e, err := endpoint.New(r.URL, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	r.e = e
	r.publisher, err = New(e, Options{Run: "run", Want: bridgetest.Tensors(), Inspector: bridgetest.Inspector{}, Recovery: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) publish(t *testing.T, version int64, m bridgetest.Model) bridge.Snapshot {
	t.Helper()
	s := bridge.Snapshots{Root: r.root, Exporter: m, Inspector: bridgetest.Inspector{}, Want: bridgetest.Tensors()}
	out, err := s.Publish(t.Context(), version, int(version))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Score implements bridge.Scorer with the fake's prompt log-probs.
func (r *rig) Score(ctx context.Context, seqs [][]int32) ([][]float32, error) {
	out := make([][]float32, len(seqs))
	for i, ids := range seqs {
		var reply []struct {
			MetaInfo struct {
				Input [][]*float32 `json:"input_token_logprobs"`
			} `json:"meta_info"`
		}
		err := r.e.Do(ctx, http.MethodPost, "/generate", object{"input_ids": [][]int32{ids}, "logprob_start_len": 0}, &reply)
		if err != nil {
			return nil, err
		}
		for _, entry := range reply[0].MetaInfo.Input[1:] {
			out[i] = append(out[i], *entry[0])
		}
	}
	return out, nil
}
