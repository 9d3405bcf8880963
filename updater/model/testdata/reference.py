"""Writes reference.json: configs as transformers saves them, with the names
and shapes of the parameters and the rotary frequencies (bits of float32) that
transformers makes of them on a CPU.

    python reference.py     # needs torch and transformers; made with 2.13.0 and 5.19.0
"""
import json
import pathlib
import struct

from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

small = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=64, max_position_embeddings=256, eos_token_id=2)
llama3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
models = {
    "qwen2 tied": (Qwen2ForCausalLM, Qwen2Config(**small, tie_word_embeddings=True)),
    "qwen2 untied": (Qwen2ForCausalLM, Qwen2Config(**small, dtype="bfloat16")),
    "qwen2 with a head_dim of its own": (Qwen2ForCausalLM, Qwen2Config(**small, head_dim=20)),
    "llama": (LlamaForCausalLM, LlamaConfig(**small)),
    "llama with every bias": (LlamaForCausalLM, LlamaConfig(**small, attention_bias=True, mlp_bias=True)),
    "llama with scaled positions": (LlamaForCausalLM, LlamaConfig(**{**small, "eos_token_id": [2, 3]}, rope_parameters=llama3)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**small, head_dim=16, rope_parameters=dict(rope_type="default", rope_theta=1e6))),
    "qwen3 with bias": (Qwen3ForCausalLM, Qwen3Config(**small, head_dim=16, attention_bias=True)),
}
out = {"models": {}, "inv_freq": []}


def bits(t):
    return [struct.unpack("<I", struct.pack("<f", float(x)))[0] for x in t]


def rope(dim, parameters):
    config = LlamaConfig(hidden_size=dim, num_attention_heads=1, head_dim=dim, max_position_embeddings=131072, rope_parameters=parameters)
    return {"head_dim": dim, "rope": parameters, "bits": bits(LlamaRotaryEmbedding(config).inv_freq)}


for name, (cls, config) in models.items():
    model = cls(config)
    config.architectures = [cls.__name__]
    out["models"][name] = {
        "config": json.loads(config.to_json_string(use_diff=False)),
        "tensors": [[k, list(p.shape)] for k, p in model.named_parameters()],
    }
for dim in (16, 64, 96, 128):
    for theta in (1e4, 5e5, 1e6, 5e6):
        out["inv_freq"].append(rope(dim, dict(rope_type="default", rope_theta=theta)))
    for factor, original in ((8.0, 8192), (32.0, 8192), (8.0, 64)):
        out["inv_freq"].append(rope(dim, {**llama3, "factor": factor, "original_max_position_embeddings": original}))
with open(pathlib.Path(__file__).with_name("reference.json"), "w") as f:
    json.dump(out, f, separators=(",", ":"))
    f.write("\n")
