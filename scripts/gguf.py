"""gguf.py MODEL OUT.gguf: a small Qwen2 model in float32 as GGUF, for llama-server.

Reads a folder in the Hugging Face layout whose model.safetensors is one file of
F32. Needs nothing but Python. For other models use llama.cpp's own
convert_hf_to_gguf.py. Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import json
import os
import struct
import sys

ALIGNMENT = 32
U32, F32, BOOL, STRING, ARRAY, U64 = 4, 6, 7, 8, 9, 10  # types of metadata
I32 = 5
NORMAL, CONTROL, UNUSED = 1, 3, 5  # types of tokens

LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
for p in "qkv":
    for kind in ("weight", "bias"):
        LAYER[f"self_attn.{p}_proj.{kind}"] = f"attn_{p}.{kind}"
WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def value(kind, x):
    if kind == STRING:
        return text(x)
    if kind == ARRAY:
        of, items = x
        return struct.pack("<IQ", of, len(items)) + b"".join(value(of, i) for i in items)
    return struct.pack({U32: "<I", I32: "<i", U64: "<Q", F32: "<f", BOOL: "<?"}[kind], x)


def tensor_name(name):
    if name in WHOLE:
        return WHOLE[name]
    _, _, layer, rest = name.split(".", 3)  # model.layers.N.…
    return f"blk.{layer}.{LAYER[rest]}"


def read_safetensors(path):
    with open(path, "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        header.pop("__metadata__", None)
        data = f.read()
    for name, t in header.items():
        if t["dtype"] != "F32":
            sys.exit(f"gguf.py: {path}: {name} is {t['dtype']}, not F32")
        begin, end = t["data_offsets"]
        yield tensor_name(name), t["shape"], data[begin:end]


def tokens(folder, vocab_size):
    with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as f:
        tokenizer = json.load(f)
    bpe = tokenizer["model"]
    names = [f"[PAD{i}]" for i in range(vocab_size)]
    kinds = [UNUSED] * vocab_size
    for piece, i in bpe["vocab"].items():
        names[i], kinds[i] = piece, NORMAL
    for t in tokenizer.get("added_tokens", []):
        names[t["id"]], kinds[t["id"]] = t["content"], CONTROL
    merges = [m if isinstance(m, str) else " ".join(m) for m in bpe["merges"]]
    return names, kinds, merges


def main(folder, out):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        c = json.load(f)
    if c["model_type"] != "qwen2":
        sys.exit(f"gguf.py: {folder}: is a {c['model_type']}, not a qwen2")
    names, kinds, merges = tokens(folder, c["vocab_size"])
    eos = c["eos_token_id"]
    meta = [
        ("general.architecture", STRING, "qwen2"),
        ("general.name", STRING, os.path.basename(os.path.abspath(folder))),
        ("general.alignment", U32, ALIGNMENT),
        ("general.file_type", U32, 0),  # F32
        ("qwen2.context_length", U32, c["max_position_embeddings"]),
        ("qwen2.embedding_length", U32, c["hidden_size"]),
        ("qwen2.block_count", U32, c["num_hidden_layers"]),
        ("qwen2.feed_forward_length", U32, c["intermediate_size"]),
        ("qwen2.attention.head_count", U32, c["num_attention_heads"]),
        ("qwen2.attention.head_count_kv", U32, c["num_key_value_heads"]),
        ("qwen2.attention.layer_norm_rms_epsilon", F32, c["rms_norm_eps"]),
        ("qwen2.rope.freq_base", F32, c["rope_theta"]),
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "qwen2"),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, names)),
        ("tokenizer.ggml.token_type", ARRAY, (I32, kinds)),
        ("tokenizer.ggml.merges", ARRAY, (STRING, merges)),
        ("tokenizer.ggml.eos_token_id", U32, eos[0] if isinstance(eos, list) else eos),
        ("tokenizer.ggml.add_bos_token", BOOL, False),
    ]
    tensors = sorted(read_safetensors(os.path.join(folder, "model.safetensors")))
    if c.get("tie_word_embeddings"):
        tensors = [t for t in tensors if t[0] != "output.weight"]
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(meta))]
    for key, kind, x in meta:
        head += [text(key), struct.pack("<I", kind), value(kind, x)]
    offset = 0
    for name, shape, data in tensors:
        head += [text(name), struct.pack("<I", len(shape))]
        head += [struct.pack("<Q", n) for n in reversed(shape)]  # the fastest axis first
        head += [struct.pack("<IQ", 0, offset)]  # F32
        offset += len(data) + -len(data) % ALIGNMENT
    head = b"".join(head)
    partial = out + ".partial"
    with open(partial, "wb") as f:
        f.write(head + b"\0" * (-len(head) % ALIGNMENT))
        for _, _, data in tensors:
            f.write(data + b"\0" * (-len(data) % ALIGNMENT))
        f.flush()
        os.fsync(f.fileno())
    os.replace(partial, out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: gguf.py MODEL OUT.gguf")
    main(sys.argv[1], sys.argv[2])
