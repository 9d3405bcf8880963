package model

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reference is what testdata/reference.py recorded of transformers.
type reference struct {
	Models map[string]struct {
		Config  json.RawMessage `json:"config"`
		Tensors [][2]any        `json:"tensors"`
	} `json:"models"`
	InvFreq []struct {
		HeadDim int `json:"head_dim"`
		Rope    struct {
			Type     string  `json:"rope_type"`
			Theta    float64 `json:"rope_theta"`
			Factor   float64 `json:"factor"`
			Low      float64 `json:"low_freq_factor"`
			High     float64 `json:"high_freq_factor"`
			Original int     `json:"original_max_position_embeddings"`
		} `json:"rope"`
		Bits []uint32 `json:"bits"`
	} `json:"inv_freq"`
}

func readReference(t *testing.T) reference {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r reference
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// Tensors lists what transformers' model has, in its order.
func TestTensorsAreTransformers(t *testing.T) {
	r := readReference(t)
	if len(r.Models) != 8 {
		t.Errorf("%d models in the reference, want 8", len(r.Models))
	}
	for name, m := range r.Models {
		t.Run(name, func(t *testing.T) {
			s, err := Parse(m.Config)
			if err != nil {
				t.Fatal(err)
			}
			var want []Tensor
			for _, x := range m.Tensors {
				shape := []int64{}
				for _, d := range x[1].([]any) {
					shape = append(shape, int64(d.(float64)))
				}
				want = append(want, Tensor{x[0].(string), shape})
			}
			if d := cmp.Diff(want, s.Tensors()); d != "" {
				t.Errorf("(-transformers +ours):\n%s", d)
			}
		})
	}
}

// InvFreq is transformers' to the bit, but for torch's own rounding of pow.
func TestInvFreqIsTransformers(t *testing.T) {
	total, neighbours := 0, 0
	for _, c := range readReference(t).InvFreq {
		s := Spec{HeadDim: c.HeadDim, Rope: Rope{Theta: c.Rope.Theta}}
		if c.Rope.Type == "llama3" {
			s.Rope.Scaling = &Llama3{c.Rope.Factor, c.Rope.Low, c.Rope.High, c.Rope.Original}
		}
		got := s.InvFreq()
		if len(got) != len(c.Bits) {
			t.Fatalf("%+v: %d frequencies, want %d", c.Rope, len(got), len(c.Bits))
		}
		for i, want := range c.Bits {
			total++
			switch d := int64(math.Float32bits(got[i])) - int64(want); d {
			case 0:
			case 1, -1:
				neighbours++
			default:
				t.Errorf("%+v, head_dim %d: frequency %d is %g, want %g", c.Rope, c.HeadDim, i, got[i], math.Float32frombits(want))
			}
		}
	}
	if total < 1000 || neighbours > total/100 {
		t.Errorf("%d of %d frequencies are one bit off, want at most one in 100", neighbours, total)
	}
}

// The three ranges of Llama 3's scaling, worked by hand: with theta 1 every
// wavelength is 2π ≈ 6.28 tokens.
func TestLlama3Scaling(t *testing.T) {
	for name, c := range map[string]struct {
		original  int
		low, high float64
		want      float64
	}{
		"long wavelength: stretched": {4, 1, 2, 1.0 / 8},                                              // 6.28 > 4/1
		"short wavelength: kept":     {1000, 1, 4, 1},                                                 // 6.28 < 1000/4
		"between: interpolated":      {10, 1, 4, (1-(10/(2*math.Pi)-1)/3)/8 + (10/(2*math.Pi)-1)/3*1}, // 10/4 < 6.28 < 10
	} {
		t.Run(name, func(t *testing.T) {
			s := Spec{HeadDim: 2, Rope: Rope{Theta: 1, Scaling: &Llama3{8, c.low, c.high, c.original}}}
			if got := float64(s.InvFreq()[0]); math.Abs(got-c.want) > 1e-6 {
				t.Errorf("frequency is %g, want %g", got, c.want)
			}
		})
	}
}
