package model

import (
	"encoding/json"
	"slices"
)

// neutral lists the config keys that change the arithmetic of some model and
// that no supported model needs, each with the values that change nothing. A
// key that is absent or null is fine.
func neutral(s Spec) map[string][]string {
	off := []string{"false"}
	none := []string{}
	m := map[string][]string{
		"hidden_act":                  {`"silu"`, `"swish"`},
		"hidden_activation":           {`"silu"`, `"swish"`},
		"use_sliding_window":          off,
		"use_mrope":                   off,
		"use_qk_norm":                 off,
		"qk_norm":                     off,
		"qk_layernorm":                off,
		"use_bidirectional_attention": off,
		"add_cross_attention":         off,
		"is_encoder_decoder":          off,
		"rope_interleave":             off,
		"rope_interleaved":            off,
		"is_causal":                   {"true"},
		"partial_rotary_factor":       {"1", "1.0"},
		"rotary_pct":                  {"1", "1.0"},
		"embedding_multiplier":        {"1", "1.0"},
		"residual_multiplier":         {"1", "1.0"},
		"logits_scaling":              {"1", "1.0"},
		"logit_scale":                 {"1", "1.0"},
		"attention_multiplier":        none,
		"query_pre_attn_scalar":       none,
		"attn_logit_softcapping":      {"0", "0.0"},
		"final_logit_softcapping":     {"0", "0.0"},
		"attention_chunk_size":        none,
		"attention_sinks":             none,
		"clip_qkv":                    none,
		"no_rope_layers":              {"[]"},
		"no_rope_layer_interval":      none,
		"num_experts":                 {"0"},
		"num_local_experts":           {"0"},
		"n_routed_experts":            {"0"},
		"quantization_config":         none,
		"compression_config":          none,
		"text_config":                 none,
		"vision_config":               none,
		"per_layer_config":            none,
		"dual_chunk_attention_config": none,
		"kv_lora_rank":                none,
		"q_lora_rank":                 none,
		"alibi":                       off,
		"apply_residual_connection_post_layernorm": off,
	}
	if s.Architecture == Llama {
		// Qwen's configs carry a window that use_sliding_window turns off;
		// Llama's have no such switch, and servers differ in whether they obey.
		m["sliding_window"] = none
		m["bias"] = off // to vLLM attention_bias by another name, to transformers nothing
	} else {
		m["mlp_bias"] = off
	}
	m["qkv_bias"] = off
	if s.Architecture == Qwen2 {
		m["qkv_bias"] = []string{"true"}
	}
	return m
}

// refuse names every setting that is not supported.
func (f *fields) refuse(s Spec) {
	var bad []string
	for key, values := range neutral(s) {
		if v := f.raw(key); v != nil && !slices.Contains(values, string(v)) {
			bad = append(bad, key+" "+short(v))
		}
	}
	slices.Sort(bad)
	for _, b := range bad {
		f.check(false, "%s is not supported", b)
	}
	f.layerTypes(s)
}

// layerTypes accepts full attention in every layer only.
func (f *fields) layerTypes(s Spec) {
	v := f.raw("layer_types")
	if v == nil {
		return
	}
	var types []string
	if err := json.Unmarshal(v, &types); err != nil {
		f.check(false, "layer_types must be a list of strings, is %s", short(v))
		return
	}
	for i, t := range types {
		if t != "full_attention" {
			f.check(false, "layer_types: layer %d is %q; only full_attention is supported", i, t)
			return
		}
	}
	f.check(len(types) == s.Layers, "layer_types has %d entries for %d layers", len(types), s.Layers)
}
