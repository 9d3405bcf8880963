package model

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/justrl/justrl/updater/safetensors"
)

// TestKit reads the reference kit's models in both spellings of the config,
// where the kit lies beside the repository.
func TestKit(t *testing.T) {
	kit := filepath.Join("..", "..", "..", "shared", "kits", "kit3")
	if _, err := os.Stat(kit); err != nil {
		t.Skipf("SKIPPED: the reference kit is not on this machine: %v", err)
	}
	want := map[string]Spec{
		"a_qwen2_tied": {
			Architecture: Qwen2, Layers: 3, Hidden: 64, Intermediate: 128, Heads: 4, KVHeads: 2, HeadDim: 16, Vocab: 512,
			MaxPositions: 1024, RMSEps: 1e-6, Rope: Rope{Theta: 10000}, TiedHead: true, QKVBias: true, DType: "float32", EOS: []int32{2},
		},
		"c_llama_rope3": {
			Architecture: Llama, Layers: 2, Hidden: 64, Intermediate: 112, Heads: 4, KVHeads: 1, HeadDim: 16, Vocab: 512,
			MaxPositions: 1024, RMSEps: 1e-5, Rope: Rope{Theta: 500000, Scaling: &Llama3{Factor: 8, LowFreq: 1, HighFreq: 4, Original: 64}},
			DType: "float32", EOS: []int32{2},
		},
	}
	for name, want := range want {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(kit, name)
			got, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			b, err := os.ReadFile(filepath.Join(dir, "config_v5.json"))
			if err != nil {
				t.Fatal(err)
			}
			v5, err := Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, v5); d != "" {
				t.Errorf("config_v5.json is read differently:\n%s", d)
			}
			set, err := safetensors.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			if err := got.Check(set); err != nil {
				t.Error(err)
			}
		})
	}
}
