"""Turns llama.cpp's file of SmolLM2 into a model folder in the Hugging Face layout.

smollm2.py FILE.gguf DIR: reads the weights (dequantised to float32), the
vocabulary, the merges and the chat template, and writes model.safetensors,
config.json, generation_config.json, tokenizer.json and tokenizer_config.json
into DIR, which must exist. A file that is not of this family is refused.
"""

import json
import os
import sys

import numpy as np
from gguf import GGUFReader, dequantize
from safetensors.numpy import save_file

# A name of llama.cpp and where that tensor lives in transformers' Llama; {} is the layer.
NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "blk.{}.attn_norm.weight": "model.layers.{}.input_layernorm.weight",
    "blk.{}.attn_q.weight": "model.layers.{}.self_attn.q_proj.weight",
    "blk.{}.attn_k.weight": "model.layers.{}.self_attn.k_proj.weight",
    "blk.{}.attn_v.weight": "model.layers.{}.self_attn.v_proj.weight",
    "blk.{}.attn_output.weight": "model.layers.{}.self_attn.o_proj.weight",
    "blk.{}.ffn_norm.weight": "model.layers.{}.post_attention_layernorm.weight",
    "blk.{}.ffn_gate.weight": "model.layers.{}.mlp.gate_proj.weight",
    "blk.{}.ffn_up.weight": "model.layers.{}.mlp.up_proj.weight",
    "blk.{}.ffn_down.weight": "model.layers.{}.mlp.down_proj.weight",
}

CONTROL = 3  # token_type of tokens that text never spells


class Source:
    """The file: its settings by name, its tensors by name."""

    def __init__(self, path):
        self.reader = GGUFReader(path)
        self.tensors = {t.name: t for t in self.reader.tensors}

    def get(self, key):
        field = self.reader.get_field(key)
        if field is None:
            sys.exit(f"smollm2.py: the file has no {key}")
        return field.contents()

    def want(self, key, value):
        if self.get(key) != value:
            sys.exit(f"smollm2.py: {key} is {self.get(key)!r}, not {value!r}")

    def tensor(self, name):
        t = self.tensors[name]
        return dequantize(t.data, t.tensor_type).reshape([int(n) for n in reversed(t.shape)])


def unpermute(weight, heads):
    """Undoes llama.cpp's order of the rows of q and k.

    transformers rotates channel i of a head together with channel i + half;
    llama.cpp keeps the two side by side.
    """
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def weights(source):
    heads = {"attn_q": source.get("llama.attention.head_count"), "attn_k": source.get("llama.attention.head_count_kv")}
    out = {}
    for layer in [None, *range(source.get("llama.block_count"))]:
        for theirs, ours in NAMES.items():
            if ("{}" in theirs) != (layer is not None):
                continue
            name = theirs.format(layer)
            tensor = source.tensor(name).astype(np.float32)
            part = name.split(".")[-2]
            if part in heads:
                tensor = unpermute(tensor, heads[part])
            out[ours.format(layer)] = np.ascontiguousarray(tensor)
    if len(out) != len(source.tensors):
        sys.exit(f"smollm2.py: {len(source.tensors)} tensors in the file, {len(out)} are known: the head is not tied, or there are biases")
    return out


def config(source):
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": source.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": source.get("tokenizer.ggml.eos_token_id"),
        "head_dim": source.get("llama.rope.dimension_count"),
        "hidden_act": "silu",
        "hidden_size": source.get("llama.embedding_length"),
        "initializer_range": 0.041666666666666664,
        "intermediate_size": source.get("llama.feed_forward_length"),
        "max_position_embeddings": source.get("llama.context_length"),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": source.get("llama.attention.head_count"),
        "num_hidden_layers": source.get("llama.block_count"),
        "num_key_value_heads": source.get("llama.attention.head_count_kv"),
        "pad_token_id": source.get("tokenizer.ggml.padding_token_id"),
        # The file has it in float32, 9.99999975e-06 for 1e-05.
        "rms_norm_eps": float(str(np.float32(source.get("llama.attention.layer_norm_rms_epsilon")))),
        "rope_scaling": None,
        "rope_theta": source.get("llama.rope.freq_base"),
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": len(source.get("tokenizer.ggml.tokens")),
    }


def generation(source):
    return {
        "bos_token_id": source.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": source.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": source.get("tokenizer.ggml.padding_token_id"),
    }


def tokenizer(source):
    """tokenizer.json: llama.cpp's pre-tokenizer "smollm" is GPT-2's with every digit on its own."""
    source.want("tokenizer.ggml.model", "gpt2")
    source.want("tokenizer.ggml.pre", "smollm")
    tokens = source.get("tokenizer.ggml.tokens")
    kinds = source.get("tokenizer.ggml.token_type")
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": t, **flags} for i, t in enumerate(tokens) if kinds[i] == CONTROL],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {t: i for i, t in enumerate(tokens)},
            "merges": [m.split(" ") for m in source.get("tokenizer.ggml.merges")],
        },
    }


def tokenizer_config(source):
    tokens = source.get("tokenizer.ggml.tokens")
    named = lambda name: tokens[source.get(f"tokenizer.ggml.{name}_token_id")]
    return {
        "add_prefix_space": False,
        "bos_token": named("bos"),
        "chat_template": source.get("tokenizer.chat_template"),
        "clean_up_tokenization_spaces": False,
        "eos_token": named("eos"),
        "model_max_length": source.get("llama.context_length"),
        "pad_token": named("padding"),
        # A class of its own name would bring its own pre-tokenizer.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": named("unknown"),
    }


def main(path, folder):
    source = Source(path)
    source.want("general.architecture", "llama")
    for name, make in {
        "config.json": config,
        "generation_config.json": generation,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": tokenizer_config,
    }.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(make(source), f, ensure_ascii=False, indent=1 if name == "tokenizer.json" else 2)
            f.write("\n")
    save_file(weights(source), os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: smollm2.py FILE.gguf DIR")
    main(sys.argv[1], sys.argv[2])
