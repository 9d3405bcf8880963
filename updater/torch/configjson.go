//go:build torch

package torch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/justrl/justrl/updater/model"
)

// configOf is spec as a config.json that every version of transformers reads.
func configOf(s model.Spec) map[string]any {
	c := map[string]any{
		"architectures": []string{s.Architecture},
		"model_type":    strings.ToLower(strings.TrimSuffix(s.Architecture, "ForCausalLM")),
		"hidden_act":    "silu", "initializer_range": initStd, "use_cache": true,
		"num_hidden_layers": s.Layers, "hidden_size": s.Hidden, "intermediate_size": s.Intermediate,
		"num_attention_heads": s.Heads, "num_key_value_heads": s.KVHeads, "head_dim": s.HeadDim,
		"vocab_size": s.Vocab, "max_position_embeddings": s.MaxPositions, "rms_norm_eps": s.RMSEps,
		"rope_theta": s.Rope.Theta, "tie_word_embeddings": s.TiedHead, "torch_dtype": s.DType,
	}
	if s.Architecture != model.Qwen2 { // whose biases are fixed
		c["attention_bias"] = s.QKVBias
	}
	if s.Architecture == model.Llama {
		c["mlp_bias"] = s.MLPBias
	}
	if l := s.Rope.Scaling; l != nil {
		c["rope_scaling"] = map[string]any{
			"rope_type": "llama3", "factor": l.Factor, "low_freq_factor": l.LowFreq,
			"high_freq_factor": l.HighFreq, "original_max_position_embeddings": l.Original,
		}
	}
	switch len(s.EOS) {
	case 0:
	case 1:
		c["eos_token_id"] = s.EOS[0]
	default:
		c["eos_token_id"] = s.EOS
	}
	return c
}

// setDType replaces the value of the top-level "dtype" and "torch_dtype" of a
// config.json, and leaves every other byte as it is.
func setDType(config []byte, dtype string) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(config))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	var out []byte
	copied := int64(0)
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if key == "dtype" || key == "torch_dtype" {
			end := dec.InputOffset()
			out = append(out, config[copied:end-int64(len(value))]...)
			out = fmt.Appendf(out, "%q", dtype)
			copied = end
		}
	}
	return append(out, config[copied:]...), nil
}
