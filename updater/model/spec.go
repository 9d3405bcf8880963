// Package model reads a Hugging Face config.json into a [Spec]: the
// architecture of a decoder-only transformer as data, so that one forward
// pass serves Qwen2, Qwen3 and Llama.
//
// All three are the same network (RMSNorm, rotary positions, grouped-query
// attention, SwiGLU) with switches: which projections have a bias, whether
// queries and keys are normalised per head, whether the head shares the
// embedding. Whatever a config asks for beyond those switches is refused by
// name: weights that load and compute something else than the server does
// would be trained without a sign of it.
//
// Deliberately absent: sliding windows, other rotary scalings than Llama 3's,
// mixtures of experts, quantised weights, soft-capping, custom code. Dropout
// settings are ignored: training runs without dropout, as sampling does.
package model

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/justrl/justrl/internal/flops"
)

// The architectures, as config.json names them.
const (
	Qwen2 = "Qwen2ForCausalLM"
	Qwen3 = "Qwen3ForCausalLM"
	Llama = "LlamaForCausalLM"
)

// Spec is one architecture with its sizes.
type Spec struct {
	Architecture string // Qwen2, Qwen3 or Llama
	Layers       int
	Hidden       int // width of the residual stream
	Intermediate int // width inside the MLP
	Heads        int // query heads
	KVHeads      int // key and value heads; divides Heads
	HeadDim      int // even; Heads × HeadDim need not be Hidden
	Vocab        int // rows of the embedding; token ids are below it
	MaxPositions int // tokens a sequence may have
	RMSEps       float64
	Rope         Rope
	TiedHead     bool // the embedding is the head's weight too
	QKVBias      bool // q_proj, k_proj and v_proj have a bias
	OutputBias   bool // o_proj has a bias
	MLPBias      bool // gate_proj, up_proj and down_proj have a bias
	QKNorm       bool // RMSNorm over each head of queries and keys, before the rotation
	// DType is the weights' type as torch spells it (float32, bfloat16,
	// float16); "" if the config does not say.
	DType string
	// EOS are the config's end-of-sequence tokens; nil if it has none.
	// generation_config.json may have more.
	EOS []int32
}

// maxConfig bounds the file that Load reads: a config is a few kilobytes.
const maxConfig = 16 << 20

// Load reads dir/config.json.
func Load(dir string) (Spec, error) {
	path := filepath.Join(dir, "config.json")
	st, err := os.Stat(path)
	if err != nil {
		return Spec{}, fmt.Errorf("%w (is it a model folder?)", err)
	}
	if !st.Mode().IsRegular() || st.Size() > maxConfig {
		return Spec{}, fmt.Errorf("%s: not a config file of at most %d bytes", path, maxConfig)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Spec{}, err
	}
	s, err := Parse(b)
	if err != nil {
		return Spec{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Parse reads the text of a config.json as transformers 4 (rope_theta,
// rope_scaling, torch_dtype) or 5 (rope_parameters, dtype) writes it. The
// error names every fault, on one line.
func Parse(b []byte) (Spec, error) {
	f := fields{}
	if err := json.Unmarshal(b, &f.m); err != nil {
		return Spec{}, fmt.Errorf("not a JSON object: %w", err)
	}
	if f.m == nil {
		return Spec{}, fmt.Errorf("not a JSON object: null")
	}
	s := Spec{Architecture: f.architecture()}
	if len(f.faults) > 0 {
		return Spec{}, f.err() // without it nothing else can be judged
	}
	s.Layers = f.size("num_hidden_layers", maxLayers)
	s.Hidden = f.size("hidden_size", maxWidth)
	s.Intermediate = f.size("intermediate_size", maxWidth)
	s.Vocab = f.size("vocab_size", maxVocab)
	s.MaxPositions = f.size("max_position_embeddings", maxVocab)
	f.heads(&s)
	s.RMSEps = f.number("rms_norm_eps", 1e-6)
	f.check(s.RMSEps > 0 && s.RMSEps < 1, "rms_norm_eps must be in (0, 1), is %g", s.RMSEps)
	s.TiedHead = f.boolean("tie_word_embeddings", false)
	attentionBias := f.boolean("attention_bias", false)
	switch s.Architecture {
	case Qwen2: // its code has the biases fixed, whatever attention_bias says
		s.QKVBias = true
	case Qwen3:
		s.QKVBias, s.OutputBias, s.QKNorm = attentionBias, attentionBias, true
	case Llama:
		s.QKVBias, s.OutputBias = attentionBias, attentionBias
		s.MLPBias = f.boolean("mlp_bias", false)
	}
	s.DType = f.dtype()
	s.EOS = f.eos()
	s.Rope = f.rope()
	f.refuse(s)
	if err := f.err(); err != nil {
		return Spec{}, err
	}
	return s, nil
}

// Shape is what the model's floating-point operations are counted by.
func (s Spec) Shape() flops.Shape {
	return flops.Shape{
		Layers: s.Layers, Hidden: s.Hidden, Intermediate: s.Intermediate,
		Heads: s.Heads, KVHeads: s.KVHeads, HeadDim: s.HeadDim, Vocab: s.Vocab,
	}
}
