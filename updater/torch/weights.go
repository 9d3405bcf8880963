//go:build torch

package torch

import (
	"fmt"
	"unsafe"

	"github.com/justrl/justrl/updater/model"
	"github.com/justrl/justrl/updater/safetensors"
)

// kindOf translates a safetensors (or config.json) dtype.
func kindOf(dtype string) (kind, error) {
	switch dtype {
	case "F32", "float32":
		return kindFloat32, nil
	case "BF16", "bfloat16":
		return kindBFloat16, nil
	case "F16", "float16":
		return kindFloat16, nil
	}
	return 0, fmt.Errorf("torch: dtype %q is not supported: float32, bfloat16 or float16", dtype)
}

// String spells k as safetensors does.
func (k kind) String() string {
	switch k {
	case kindFloat32:
		return "F32"
	case kindBFloat16:
		return "BF16"
	case kindFloat16:
		return "F16"
	}
	return fmt.Sprintf("kind %d", int32(k))
}

// bytesPer is the size of one element.
func (k kind) bytesPer() int {
	switch k {
	case kindInt64:
		return 8
	case kindFloat32:
		return 4
	}
	return 2
}

// use says what a network is for.
type use int

const (
	trained use = iota
	frozen      // only scores: no masters, no gradients
)

// load copies the weights of set to the device as the arithmetic's kind, with
// float32 masters where that is not float32 and they are to be trained.
func (n *network) load(s *scope, set *safetensors.Set, as use) error {
	byName := make(map[string]*parameter)
	for _, t := range n.spec.Tensors() {
		info, ok := set.Info(t.Name)
		if !ok {
			return fmt.Errorf("torch: the model has no tensor %s", t.Name)
		}
		data, err := set.Bytes(t.Name)
		if err != nil {
			return err
		}
		k, err := kindOf(info.DType)
		if err != nil {
			return fmt.Errorf("%w (tensor %s in %s)", err, t.Name, info.File)
		}
		src := unsafe.Pointer(unsafe.SliceData(data))
		p := &parameter{name: t.Name, shape: info.Shape}
		p.value = s.keep(s.from(src, info.Shape, k, n.device, n.kind))
		p.master = p.value
		if n.kind != kindFloat32 && as == trained {
			p.master = s.keep(s.from(src, info.Shape, k, n.device, kindFloat32))
		}
		n.params = append(n.params, p)
		byName[t.Name] = p
		if s.err != nil {
			return fmt.Errorf("load %s: %w", t.Name, s.err)
		}
	}
	n.wire(s, byName)
	n.rows = headRows(n.spec.Vocab, n.device)
	n.invFreq = s.keep(s.floats(n.spec.InvFreq(), n.device))
	return s.err
}

// wire gives each parameter its place by its Hugging Face name.
func (n *network) wire(s *scope, byName map[string]*parameter) {
	n.embed, n.norm, n.head = byName[model.EmbedName], byName[model.NormName], byName[model.HeadName]
	if n.spec.TiedHead {
		n.head = n.embed
	}
	for i := range n.spec.Layers {
		get := func(suffix string) *parameter { return byName[model.LayerName(i, suffix)] }
		gather := func(names ...string) *block {
			var weights, biases []*parameter
			for _, name := range names {
				weights, biases = append(weights, get(name+".weight")), append(biases, get(name+".bias"))
			}
			b := newBlock(s, n, weights, biases)
			n.blocks = append(n.blocks, b)
			return b
		}
		n.layers = append(n.layers, layer{
			norm1: get("input_layernorm.weight"), norm2: get("post_attention_layernorm.weight"),
			qkv:   gather("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
			qNorm: get("self_attn.q_norm.weight"), kNorm: get("self_attn.k_norm.weight"),
			o:      gather("self_attn.o_proj"),
			gateUp: gather("mlp.gate_proj", "mlp.up_proj"),
			down:   gather("mlp.down_proj"),
		})
	}
}

// free releases everything that n holds on the device.
func (n *network) free(cnt *counter) {
	for _, p := range n.params {
		if p.master != p.value {
			cnt.free(p.master)
		}
		for _, t := range []tensor{p.value, p.grad, p.m, p.v} {
			cnt.free(t)
		}
	}
	for _, b := range n.blocks {
		b.free(cnt)
	}
	cnt.free(n.invFreq)
	*n = network{spec: n.spec}
}
