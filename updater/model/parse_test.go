package model

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Configs as publishers spell them, transformers 4 and 5, with what of them counts.
func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		want   Spec
	}{
		"DeepSeek-R1-Distill-Qwen-1.5B's shape": {`{"architectures":["Qwen2ForCausalLM"],"attention_dropout":0.0,"bos_token_id":151643,"eos_token_id":151643,
			"hidden_act":"silu","hidden_size":1536,"initializer_range":0.02,"intermediate_size":8960,"max_position_embeddings":131072,"max_window_layers":21,
			"model_type":"qwen2","num_attention_heads":12,"num_hidden_layers":28,"num_key_value_heads":2,"rms_norm_eps":1e-06,"rope_theta":10000,
			"sliding_window":4096,"tie_word_embeddings":false,"torch_dtype":"bfloat16","transformers_version":"4.44.0","use_cache":true,"use_mrope":false,
			"use_sliding_window":false,"vocab_size":151936}`,
			Spec{Architecture: Qwen2, Layers: 28, Hidden: 1536, Intermediate: 8960, Heads: 12, KVHeads: 2, HeadDim: 128, Vocab: 151936, MaxPositions: 131072,
				RMSEps: 1e-6, Rope: Rope{Theta: 10000}, QKVBias: true, DType: "bfloat16", EOS: []int32{151643}}},
		"Qwen2.5-0.5B's shape, transformers 5": {`{"architectures":["Qwen2ForCausalLM"],"dtype":"bfloat16","eos_token_id":[151645,151643],"hidden_act":"silu","hidden_size":896,
			"intermediate_size":4864,"layer_types":["full_attention","full_attention"],"max_position_embeddings":32768,"model_type":"qwen2","num_attention_heads":14,
			"num_hidden_layers":2,"num_key_value_heads":2,"rms_norm_eps":1e-06,"rope_parameters":{"rope_theta":1000000.0,"rope_type":"default"},"sliding_window":null,
			"tie_word_embeddings":true,"use_sliding_window":false,"vocab_size":151936}`,
			Spec{Architecture: Qwen2, Layers: 2, Hidden: 896, Intermediate: 4864, Heads: 14, KVHeads: 2, HeadDim: 64, Vocab: 151936, MaxPositions: 32768,
				RMSEps: 1e-6, Rope: Rope{Theta: 1e6}, TiedHead: true, QKVBias: true, DType: "bfloat16", EOS: []int32{151645, 151643}}},
		"SmolLM2-135M's shape": {`{"architectures":["LlamaForCausalLM"],"attention_bias":false,"attention_dropout":0.0,"bos_token_id":1,"eos_token_id":2,"hidden_act":"silu",
			"hidden_size":576,"initializer_range":0.041666666666666664,"intermediate_size":1536,"is_llama_config":true,"max_position_embeddings":8192,"mlp_bias":false,
			"model_type":"llama","num_attention_heads":9,"num_hidden_layers":30,"num_key_value_heads":3,"pad_token_id":2,"pretraining_tp":1,"rms_norm_eps":1e-05,
			"rope_interleaved":false,"rope_scaling":null,"rope_theta":100000,"tie_word_embeddings":true,"torch_dtype":"bfloat16","use_cache":true,"vocab_size":49152}`,
			Spec{Architecture: Llama, Layers: 30, Hidden: 576, Intermediate: 1536, Heads: 9, KVHeads: 3, HeadDim: 64, Vocab: 49152, MaxPositions: 8192,
				RMSEps: 1e-5, Rope: Rope{Theta: 100000}, TiedHead: true, DType: "bfloat16", EOS: []int32{2}}},
		"Llama-3.2-1B's shape": {`{"architectures":["LlamaForCausalLM"],"attention_bias":false,"eos_token_id":[128001,128008,128009],"head_dim":64,"hidden_act":"silu","hidden_size":2048,
			"intermediate_size":8192,"max_position_embeddings":131072,"mlp_bias":false,"model_type":"llama","num_attention_heads":32,"num_hidden_layers":16,"num_key_value_heads":8,
			"rms_norm_eps":1e-05,"rope_scaling":{"factor":32.0,"high_freq_factor":4.0,"low_freq_factor":1.0,"original_max_position_embeddings":8192,"rope_type":"llama3"},
			"rope_theta":500000.0,"tie_word_embeddings":true,"torch_dtype":"bfloat16","vocab_size":128256}`,
			Spec{Architecture: Llama, Layers: 16, Hidden: 2048, Intermediate: 8192, Heads: 32, KVHeads: 8, HeadDim: 64, Vocab: 128256, MaxPositions: 131072,
				RMSEps: 1e-5, Rope: Rope{Theta: 500000, Scaling: &Llama3{32, 1, 4, 8192}}, TiedHead: true, DType: "bfloat16", EOS: []int32{128001, 128008, 128009}}},
		"Qwen3-0.6B's shape": {`{"architectures":["Qwen3ForCausalLM"],"attention_bias":false,"attention_dropout":0.0,"eos_token_id":151645,"head_dim":128,"hidden_act":"silu","hidden_size":1024,
			"intermediate_size":3072,"max_position_embeddings":40960,"max_window_layers":28,"model_type":"qwen3","num_attention_heads":16,"num_hidden_layers":28,"num_key_value_heads":8,
			"rms_norm_eps":1e-06,"rope_scaling":null,"rope_theta":1000000,"sliding_window":null,"tie_word_embeddings":true,"torch_dtype":"bfloat16","use_sliding_window":false,"vocab_size":151936}`,
			Spec{Architecture: Qwen3, Layers: 28, Hidden: 1024, Intermediate: 3072, Heads: 16, KVHeads: 8, HeadDim: 128, Vocab: 151936, MaxPositions: 40960,
				RMSEps: 1e-6, Rope: Rope{Theta: 1e6}, TiedHead: true, QKNorm: true, DType: "bfloat16", EOS: []int32{151645}}},
		"only what has no default": {`{"architectures":["LlamaForCausalLM"],"hidden_size":8,"intermediate_size":12,"max_position_embeddings":16,"num_attention_heads":2,"num_hidden_layers":1,"vocab_size":5}`,
			Spec{Architecture: Llama, Layers: 1, Hidden: 8, Intermediate: 12, Heads: 2, KVHeads: 2, HeadDim: 4, Vocab: 5, MaxPositions: 16, RMSEps: 1e-6, Rope: Rope{Theta: 10000}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(c.config))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// base is a config without a fault, to put one in.
func base(architecture string) map[string]any {
	return map[string]any{
		"architectures": []string{architecture}, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
		"num_key_value_heads": 2, "head_dim": 8, "vocab_size": 64, "max_position_embeddings": 256,
	}
}

func parseWith(t *testing.T, architecture string, change map[string]any) (Spec, error) {
	t.Helper()
	c := base(architecture)
	maps.Copy(c, change)
	for k, v := range c {
		if v == "absent" {
			delete(c, k)
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return Parse(b)
}

type object = map[string]any

func TestParseRefuses(t *testing.T) {
	llama3 := object{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 64}
	with := func(key string, v any) object {
		o := maps.Clone(llama3)
		o[key] = v
		return o
	}
	for name, c := range map[string]struct {
		architecture string
		change       object
		want         string
	}{
		"unknown architecture":     {"MixtralForCausalLM", nil, `unknown architecture ["MixtralForCausalLM"]`},
		"no architecture":          {Llama, object{"architectures": nil}, "unknown architecture []"},
		"two architectures":        {Llama, object{"architectures": []string{Llama, Qwen2}}, "unknown architecture"},
		"another model_type":       {Llama, object{"model_type": "mistral"}, `model_type "mistral" does not go with`},
		"no size":                  {Llama, object{"hidden_size": "absent"}, "hidden_size is missing"},
		"null size":                {Llama, object{"hidden_size": nil}, "hidden_size is missing"},
		"size of 0":                {Llama, object{"num_hidden_layers": 0}, "num_hidden_layers must be an integer from 1 to 4096, is 0"},
		"negative size":            {Llama, object{"vocab_size": -1}, "vocab_size must be"},
		"size that is text":        {Llama, object{"vocab_size": "64"}, `vocab_size must be an integer from 1 to 2147483647, is "64"`},
		"fractional size":          {Llama, object{"vocab_size": 1.5}, "vocab_size must be"},
		"absurd size":              {Llama, object{"hidden_size": 1 << 40}, "hidden_size must be"},
		"no key heads, Qwen2":      {Qwen2, object{"num_key_value_heads": nil}, "num_key_value_heads is missing"},
		"heads that do not divide": {Llama, object{"num_key_value_heads": 3}, "num_attention_heads 4 is not a multiple of num_key_value_heads 3"},
		"width that does not":      {Llama, object{"head_dim": nil, "hidden_size": 33}, "hidden_size 33 is not a multiple"},
		"odd head_dim":             {Llama, object{"head_dim": 7}, "head_dim must be even, is 7"},
		"null head_dim, Qwen3":     {Qwen3, object{"head_dim": nil}, "head_dim must be a number, is null"},
		"eps of 0":                 {Llama, object{"rms_norm_eps": 0}, "rms_norm_eps must be in (0, 1)"},
		"dtype float8":             {Llama, object{"dtype": "float8_e4m3fn"}, `dtype "float8_e4m3fn" is not supported`},
		"two dtypes":               {Llama, object{"dtype": "float32", "torch_dtype": "float16"}, "differ"},
		"eos that is text":         {Llama, object{"eos_token_id": "</s>"}, "eos_token_id must be"},
		"eos with null":            {Llama, object{"eos_token_id": []any{1, nil}}, "eos_token_id must be"},
		"tied that is text":        {Llama, object{"tie_word_embeddings": "yes"}, "tie_word_embeddings must be true or false"},

		"gelu":                        {Llama, object{"hidden_act": "gelu"}, `hidden_act "gelu" is not supported`},
		"sliding window on":           {Qwen2, object{"use_sliding_window": true}, "use_sliding_window true is not supported"},
		"sliding window of Llama":     {Llama, object{"sliding_window": 4096}, "sliding_window 4096 is not supported"},
		"sliding layers":              {Qwen3, object{"layer_types": []string{"full_attention", "sliding_attention"}}, `layer_types: layer 1 is "sliding_attention"`},
		"layer types too few":         {Qwen3, object{"layer_types": []string{"full_attention"}}, "layer_types has 1 entries for 2 layers"},
		"quantised":                   {Qwen2, object{"quantization_config": object{"quant_method": "awq"}}, `quantization_config {"quant_method":"awq"} is not supported`},
		"soft-capped attention":       {Llama, object{"attn_logit_softcapping": 50.0}, "attn_logit_softcapping 50 is not supported"},
		"soft-capped logits":          {Llama, object{"final_logit_softcapping": 30.0}, "final_logit_softcapping"},
		"scaled logits":               {Llama, object{"logits_scaling": 8.0}, "logits_scaling"},
		"experts":                     {Llama, object{"num_local_experts": 8}, "num_local_experts"},
		"layers without positions":    {Llama, object{"no_rope_layers": []int{1, 0}}, "no_rope_layers"},
		"Qwen2 without bias":          {Qwen2, object{"qkv_bias": false}, "qkv_bias false"},
		"Qwen3 with bias in the MLP":  {Qwen3, object{"mlp_bias": true}, "mlp_bias true"},
		"a layer unlike the others":   {Qwen3, object{"per_layer_config": object{"1": object{"intermediate_size": 64}}}, `per_layer_config {"1":{"intermediate_size":64}} is not supported`},
		"dual chunk attention":        {Qwen2, object{"dual_chunk_attention_config": object{"chunk_size": 262144}}, "dual_chunk_attention_config"},
		"vLLM's bias of Llama":        {Llama, object{"bias": true}, "bias true is not supported"},
		"qkv_bias of Llama":           {Llama, object{"qkv_bias": true}, "qkv_bias true is not supported"},
		"another causality":           {Llama, object{"is_causal": false}, "is_causal false"},
		"a window in Llama's layers":  {Llama, object{"layer_types": []string{"full_attention", "sliding_attention"}}, `layer_types: layer 1 is "sliding_attention"`},
		"longrope":                    {Qwen2, object{"rope_parameters": object{"rope_type": "longrope", "rope_theta": 1e4, "long_factor": []int{1}, "short_factor": []int{1}}}, `"longrope"`},
		"proportional":                {Llama, object{"rope_parameters": object{"rope_type": "proportional", "rope_theta": 1e4}}, `rope_type "proportional" is not supported`},
		"a factor of the attention":   {Llama, object{"rope_parameters": object{"rope_type": "default", "rope_theta": 1e4, "attention_factor": 2}}, `"attention_factor" is not supported`},
		"multimodal":                  {Qwen2, object{"vision_config": object{}}, "vision_config"},
		"part of the head rotated":    {Llama, object{"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"},
		"interleaved rotation":        {Llama, object{"rope_interleaved": true}, "rope_interleaved"},
		"yarn":                        {Qwen2, object{"rope_scaling": object{"type": "yarn", "factor": 4}}, `rope_scaling: rope_type "yarn" is not supported`},
		"linear":                      {Llama, object{"rope_scaling": object{"rope_type": "linear", "factor": 2}}, `"linear"`},
		"dynamic":                     {Llama, object{"rope_scaling": object{"type": "dynamic", "factor": 2}}, `"dynamic"`},
		"scaling without a type":      {Llama, object{"rope_scaling": object{"factor": 2}}, "rope_type is missing"},
		"scaling that is text":        {Llama, object{"rope_scaling": "yarn"}, "rope_scaling must be an object"},
		"mrope":                       {Qwen2, object{"rope_scaling": object{"type": "default", "mrope_section": []int{1}}}, `rope_scaling: "mrope_section" is not supported`},
		"rope of each layer type":     {Qwen3, object{"rope_parameters": object{"full_attention": object{"rope_theta": 1e6}}}, `"full_attention" is not supported`},
		"part rotated, transformers5": {Llama, object{"rope_parameters": object{"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor 0.5"},
		"two types":                   {Llama, object{"rope_scaling": with("type", "yarn")}, "differ"},
		"two thetas":                  {Llama, object{"rope_theta": 1e4, "rope_parameters": object{"rope_type": "default", "rope_theta": 1e6}}, "differ"},
		"two scalings":                {Llama, object{"rope_scaling": llama3, "rope_parameters": with("factor", 16)}, "rope_scaling and rope_parameters differ"},
		"theta of 0":                  {Llama, object{"rope_theta": 0}, "rope_theta must be in"},
		"llama3 without a factor":     {Llama, object{"rope_scaling": with("factor", nil)}, "factor must be 1 or more"},
		"llama3 factors swapped":      {Llama, object{"rope_scaling": with("low_freq_factor", 8)}, "low_freq_factor < high_freq_factor"},
		"llama3 without a length":     {Llama, object{"rope_scaling": with("original_max_position_embeddings", nil)}, "original_max_position_embeddings is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseWith(t, c.architecture, c.change)
			wantError(t, err, c.want)
		})
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has more than one line: %q", err)
	}
}

// Settings that look like the refused ones and change nothing.
func TestParseAccepts(t *testing.T) {
	for name, change := range map[string]object{
		"swish is silu":               {"hidden_act": "swish"},
		"a window that is turned off": {"use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 1},
		"dropout":                     {"attention_dropout": 0.1, "embedding_dropout": 0.1},
		"the whole head rotated":      {"partial_rotary_factor": 1.0},
		"no layer unlike the others":  {"per_layer_config": nil},
		"no quantisation":             {"quantization_config": nil},
		"keys of no matter":           {"_name_or_path": "x", "unsloth_version": "1", "auto_map": object{}, "pretraining_tp": 2, "use_cache": false},
		"default scaling":             {"rope_scaling": object{"type": "default"}},
		"both spellings, agreeing":    {"rope_theta": 5e5, "rope_scaling": object{"rope_type": "default"}, "rope_parameters": object{"rope_type": "default", "rope_theta": 5e5}},
		"the checkpoint's dtype":      {"dtype": "auto"},
		"torch's own spelling":        {"torch_dtype": "torch.float32"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseWith(t, Qwen2, change); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestParseNamesEveryFault(t *testing.T) {
	_, err := parseWith(t, Qwen2, object{"hidden_size": nil, "hidden_act": "relu", "use_sliding_window": true, "rope_scaling": object{"type": "yarn"}})
	wantError(t, err, "hidden_size is missing", `hidden_act "relu"`, "use_sliding_window true", `"yarn"`)
}

func TestLoadFaults(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(dir)
	wantError(t, err, filepath.Join(dir, "config.json"), "is it a model folder?")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	for content, want := range map[string]string{"": "not a JSON object", "[1]": "not a JSON object", "null": "not a JSON object", "{}": "unknown architecture"} {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Load(dir)
		wantError(t, err, filepath.Join(dir, "config.json"), want)
	}
}

// FuzzParse: what is let through has sizes that fit together, so that nothing
// after it divides by zero, overflows, or lists tensors without end.
func FuzzParse(f *testing.F) {
	for _, m := range []object{
		{}, {"rope_scaling": object{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 64}},
		{"rope_parameters": object{"rope_type": "default", "rope_theta": 5e5}, "layer_types": []string{"full_attention", "full_attention"}},
	} {
		for _, a := range []string{Qwen2, Qwen3, Llama} {
			c := base(a)
			maps.Copy(c, m)
			b, err := json.Marshal(c)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error has more than one line: %q", err)
			}
			return
		}
		if s.Heads%s.KVHeads != 0 || s.HeadDim < 2 || s.HeadDim%2 != 0 || s.Layers < 1 || s.Vocab < 1 || !(s.RMSEps > 0) {
			t.Errorf("%+v was let through", s)
		}
		for _, x := range s.Tensors() {
			if slices.ContainsFunc(x.Shape, func(d int64) bool { return d < 1 }) {
				t.Errorf("tensor %v", x)
			}
		}
		if s.HeadDim <= 1<<12 {
			for i, f := range s.InvFreq() {
				if !(f >= 0 && f <= 1) {
					t.Errorf("%+v: frequency %d is %g", s.Rope, i, f)
				}
			}
		}
	})
}
