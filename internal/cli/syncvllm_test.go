package cli

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	bridgevllm "github.com/justrl/justrl/bridge/vllm"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/sampler"
	"github.com/justrl/justrl/sampler/vllm"
	"github.com/justrl/justrl/updater/safetensors"
)

// scaledPolicy exports examples/arithmetic/policy with all weights times a factor.
type scaledPolicy float32

const policyDir = "../../examples/arithmetic/policy"

func (f scaledPolicy) Export(_ context.Context, dir string) (err error) {
	entries, err := os.ReadDir(policyDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(policyDir, e.Name()))
		if err == nil && filepath.Ext(e.Name()) != ".safetensors" {
			err = os.WriteFile(filepath.Join(dir, e.Name()), b, 0o600)
		}
		if err != nil {
			return err
		}
	}
	set, err := safetensors.Open(policyDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	return safetensors.Write(dir, set.Layout(), func(name string) ([]byte, error) {
		b, err := set.Bytes(name)
		b = slices.Clone(b)
		for i := 0; i+4 <= len(b); i += 4 {
			x := math.Float32frombits(binary.LittleEndian.Uint32(b[i:]))
			binary.LittleEndian.PutUint32(b[i:], math.Float32bits(x*float32(f)))
		}
		return b, err
	})
}

// The suite of every publisher, in each way that a real vLLM which serves
// examples/arithmetic/policy, or a copy of it, can be loaded.
func TestSyncOnVLLM(t *testing.T) {
	url := os.Getenv("JUSTRL_VLLM_URL")
	if url == "" {
		t.Skip("SKIPPED: needs a real vLLM; VLLM_TRANSFER=1 scripts/with-vllm examples/arithmetic/policy go test ./internal/cli -run TestSyncOnVLLM")
	}
	e, err := endpoint.New(url, endpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	info, err := vllm.Probe(t.Context(), e, "", endpoint.Retry{})
	if err != nil {
		t.Fatal(err)
	}
	ways, err := bridgevllm.Ways(t.Context(), e)
	t.Logf("%s: %v", info.Version, ways)
	if err != nil || !slices.Contains(ways, bridgevllm.WayFiles) || os.Getenv("VLLM_TRANSFER") != "" && ways[0] != bridgevllm.WayTransfer {
		t.Fatalf("ways %v, %v", ways, err)
	}
	want, err := inspector{}.Tensors(policyDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			if own, err := filepath.Abs(policyDir); err != nil || way == bridgevllm.WayInPlace && info.Root == own {
				t.Skipf("SKIPPED: it serves the policy itself, not a copy (VLLM_TRANSFER=1) %v", err)
			}
			o := bridgevllm.Options{
				Model: info.Model, Run: rand.Text(), Want: want, Inspector: inspector{}, Open: openWeights, Protect: policyDir, Sync: way,
			}
			bridgetest.Publisher(t, func(t *testing.T) bridgetest.Harness { return onVLLM(t, e, o) })
			h := onVLLM(t, e, o) // its own weights, for whoever comes next
			if err := h.Publisher.Load(t.Context(), h.Publish(t, 99, "a")); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("a transfer that somebody left open", func(t *testing.T) {
		if ways[0] != bridgevllm.WayTransfer {
			t.Skip("SKIPPED: it takes no transfers (VLLM_TRANSFER=1)")
		}
		o := bridgevllm.Options{Model: info.Model, Run: rand.Text(), Want: want, Inspector: inspector{}, Open: openWeights, Sync: ways[0]}
		h := onVLLM(t, e, o)
		load := func(version int64) [][]float32 {
			t.Helper()
			if err := h.Publisher.Load(t.Context(), h.Publish(t, version, "a")); err != nil {
				t.Fatal(err)
			}
			s, err := h.Server.Score(t.Context(), h.Probes)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		before := load(1)
		if err := e.Do(t.Context(), http.MethodPost, "/start_weight_update", struct{}{}, nil); err != nil {
			t.Fatal(err)
		}
		if after := load(2); !slices.EqualFunc(before, after, slices.Equal[[]float32]) {
			t.Error("it does not serve the same as before")
		}
	})
}

func onVLLM(t *testing.T, e *endpoint.Endpoint, o bridgevllm.Options) bridgetest.Harness {
	t.Helper()
	p, err := bridgevllm.New(e, o)
	if err != nil {
		t.Fatal(err)
	}
	var probes [][]int32
	for i, n := range []int{20, 200, 300} { // within a block of the prefix cache, and over several
		probe := make([]int32, n)
		for j := range probe {
			probe[j] = int32((i*131 + j*j*7 + j) % 350)
		}
		probes = append(probes, probe)
	}
	root := t.TempDir()
	return bridgetest.Harness{
		Publisher: p, Server: bridgetest.Scorer{URL: e.URL(), Model: o.Model}, Probes: probes,
		Publish: func(t *testing.T, version int64, which string) bridge.Snapshot {
			s := bridge.Snapshots{Root: root, Exporter: scaledPolicy(map[string]float32{"a": 1, "b": 1.01}[which]), Inspector: inspector{}, Want: o.Want}
			out, err := s.Publish(t.Context(), version, int(version))
			if err != nil {
				t.Fatal(err)
			}
			return out
		},
		Paused: func() (bool, error) {
			info, err := vllm.Probe(t.Context(), e, o.Model, endpoint.Retry{})
			return info.Paused && info.Dialect == sampler.DialectVLLM, err
		},
	}
}
