//go:build ollama

package ollama

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/justrl/justrl/bridge"
	"github.com/justrl/justrl/bridge/bridgetest"
	"github.com/justrl/justrl/internal/endpoint"
	"github.com/justrl/justrl/internal/ollamatest"
)

// folder is the served model with one tensor scaled, as an exporter.
type folder struct {
	dir   string
	scale float32
}

const scaled = "model.norm.weight"

type header map[string]struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

func readWeights(path string) (b []byte, data int64, h header, err error) {
	if b, err = os.ReadFile(path); err != nil {
		return nil, 0, nil, err
	}
	n := int64(binary.LittleEndian.Uint64(b))
	err = json.Unmarshal(b[8:8+n], &h)
	delete(h, "__metadata__")
	return b, 8 + n, h, err
}

func (f folder) Export(_ context.Context, dir string) error {
	names, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		b, err := os.ReadFile(filepath.Join(f.dir, n.Name()))
		if err != nil {
			return err
		}
		if n.Name() == "model.safetensors" {
			_, data, h, err := readWeights(filepath.Join(f.dir, n.Name()))
			if err != nil {
				return err
			}
			t := h[scaled]
			if t.DType != "F32" {
				return fmt.Errorf("%s is %q, want F32", scaled, t.DType)
			}
			for i := data + t.Offsets[0]; i < data+t.Offsets[1]; i += 4 {
				x := math.Float32frombits(binary.LittleEndian.Uint32(b[i:]))
				binary.LittleEndian.PutUint32(b[i:], math.Float32bits(f.scale*x))
			}
		}
		if err := os.WriteFile(filepath.Join(dir, n.Name()), b, 0o666); err != nil {
			return err
		}
	}
	return nil
}

type realInspector struct{}

func (realInspector) Tensors(dir string) (out []bridge.Tensor, err error) {
	_, _, h, err := readWeights(filepath.Join(dir, "model.safetensors"))
	for name, t := range h {
		out = append(out, bridge.Tensor{Name: name, DType: t.DType, Shape: t.Shape})
	}
	return out, err
}

func (realInspector) SHA256(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

func TestOllamaPublisherConformance(t *testing.T) {
	url, dir, model := os.Getenv("JUSTRL_OLLAMA"), os.Getenv("JUSTRL_OLLAMA_DIR"), os.Getenv("JUSTRL_OLLAMA_MODEL")
	if url == "" || dir == "" {
		t.Skip("SKIPPED: no real Ollama: set JUSTRL_OLLAMA and JUSTRL_OLLAMA_DIR, as scripts/with-ollama does")
	}
	want, err := realInspector{}.Tensors(dir)
	if err != nil {
		t.Fatal(err)
	}
	bridgetest.Publisher(t, func(t *testing.T) bridgetest.Harness {
		e, err := endpoint.New(url, endpoint.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		p, err := New(e, Options{Model: model, Run: "test", Context: 64, Want: want, Inspector: realInspector{}})
		if err != nil {
			t.Fatal(err)
		}
		root := t.TempDir()
		return bridgetest.Harness{
			Publisher: p, Server: scorer{p.c, model},
			Probes: [][]int32{ollamatest.Plain{}.Encode("1+1=2"), ollamatest.Plain{}.Encode("What is 3 + 4?")},
			Publish: func(t *testing.T, version int64, which string) bridge.Snapshot {
				s := bridge.Snapshots{Root: root, Exporter: folder{dir, map[string]float32{"a": 1, "b": 1.25}[which]}, Inspector: realInspector{}, Want: want}
				out, err := s.Publish(t.Context(), version, int(version))
				if err != nil {
					t.Fatal(err)
				}
				return out
			},
			Paused: func() (bool, error) { return false, nil }, // Ollama never is
		}
	})
}
