package model

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/justrl/justrl/updater/safetensors"
)

// Names of the tensors outside the layers.
const (
	EmbedName = "model.embed_tokens.weight"
	NormName  = "model.norm.weight"
	HeadName  = "lm_head.weight"
)

// Tensor is one parameter. A projection's shape is [out, in].
type Tensor struct {
	Name  string
	Shape []int64
}

// LayerName is the name of a tensor of layer i: LayerName(0,
// "self_attn.q_proj.weight") is model.layers.0.self_attn.q_proj.weight.
func LayerName(i int, name string) string { return fmt.Sprintf("model.layers.%d.%s", i, name) }

// Tensors lists every parameter under its Hugging Face name, in the order in
// which transformers' model holds them. A tied model has no head of its own.
func (s Spec) Tensors() []Tensor {
	hidden, inner, head := int64(s.Hidden), int64(s.Intermediate), int64(s.HeadDim)
	q, kv := int64(s.Heads)*head, int64(s.KVHeads)*head
	t := []Tensor{{EmbedName, []int64{int64(s.Vocab), hidden}}}
	for i := range s.Layers {
		norm := func(name string, n int64) {
			t = append(t, Tensor{LayerName(i, name+".weight"), []int64{n}})
		}
		linear := func(name string, out, in int64, bias bool) {
			t = append(t, Tensor{LayerName(i, name+".weight"), []int64{out, in}})
			if bias {
				t = append(t, Tensor{LayerName(i, name+".bias"), []int64{out}})
			}
		}
		linear("self_attn.q_proj", q, hidden, s.QKVBias)
		linear("self_attn.k_proj", kv, hidden, s.QKVBias)
		linear("self_attn.v_proj", kv, hidden, s.QKVBias)
		linear("self_attn.o_proj", hidden, q, s.OutputBias)
		if s.QKNorm {
			norm("self_attn.q_norm", head)
			norm("self_attn.k_norm", head)
		}
		linear("mlp.gate_proj", inner, hidden, s.MLPBias)
		linear("mlp.up_proj", inner, hidden, s.MLPBias)
		linear("mlp.down_proj", hidden, inner, s.MLPBias)
		norm("input_layernorm", hidden)
		norm("post_attention_layernorm", hidden)
	}
	t = append(t, Tensor{NormName, []int64{hidden}})
	if !s.TiedHead {
		t = append(t, Tensor{HeadName, []int64{int64(s.Vocab), hidden}})
	}
	return t
}

// Open reads dir/config.json and opens the weights beside it, whose headers fit
// it; the caller closes the set.
func Open(dir string) (Spec, *safetensors.Set, error) {
	spec, err := Load(dir)
	if err != nil {
		return spec, nil, err
	}
	set, err := safetensors.Open(dir)
	if err != nil {
		return spec, nil, err
	}
	if err := spec.Check(set); err != nil {
		return spec, nil, errors.Join(fmt.Errorf("%s: %w", dir, err), set.Close())
	}
	return spec, set, nil
}

// Check holds a folder's tensors against the architecture: every parameter
// there, in its shape and of a floating-point type, and nothing else. The
// error names all kinds of fault at once, on one line, the first ten of each.
//
// A tied model may carry lm_head.weight too, in the embedding's shape; whoever
// reads the weights makes sure that it holds the embedding's values.
func (s Spec) Check(set *safetensors.Set) error {
	want := s.Tensors()
	if s.TiedHead {
		if _, ok := set.Info(HeadName); ok {
			want = append(want, Tensor{HeadName, []int64{int64(s.Vocab), int64(s.Hidden)}})
		}
	}
	known := map[string]bool{}
	var missing, unknown, shapes, types []string
	for _, t := range want {
		known[t.Name] = true
		got, ok := set.Info(t.Name)
		switch {
		case !ok:
			missing = append(missing, t.Name)
		case !slices.Equal(got.Shape, t.Shape):
			shapes = append(shapes, fmt.Sprintf("%s is %v, config.json asks for %v", t.Name, got.Shape, t.Shape))
		case !slices.Contains([]string{"F32", "BF16", "F16", "F64"}, got.DType):
			types = append(types, t.Name+" is "+got.DType)
		}
	}
	for _, name := range set.Names() {
		if !known[name] {
			unknown = append(unknown, name)
		}
	}
	var faults []string
	for _, f := range []struct {
		what  string
		names []string
	}{
		{"missing tensors", missing}, {"unknown tensors", unknown},
		{"wrong shapes", shapes}, {"types that cannot be trained", types},
	} {
		if len(f.names) > 0 {
			faults = append(faults, f.what+": "+list(f.names))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("weights do not fit %s: %s", s.Architecture, strings.Join(faults, "; "))
	}
	return nil
}

// list joins names for one line, the first few in full.
func list(names []string) string {
	const most = 10
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
