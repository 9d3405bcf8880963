#!/usr/bin/env python3
"""Writes the fixtures of this folder: tiny models and what PyTorch makes of them.

    python make_reference.py [NAME…]               (torch 2.13, transformers 5.19; two minutes on a CPU)
    python make_reference.py --random SEED COUNT DIR    the same for architectures drawn at random

For each model a folder with config.json and weights as transformers writes
them (or as transformers 4 wrote the config), batch.json (rollouts with perturbed
old log-probs), reference.json (numbers) and reference.safetensors (gradients,
weights after three updates at two learning rates). Everything is computed one
sequence at a time, without packing, in float64 but for the norms and the rotary
table, which the models fix to float32, from the formulas in updater/grpo's
documentation; after3.* and after3small.* are float32, as the trainer is.
"""
import json
import os
import random
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

HERE = os.path.dirname(os.path.abspath(__file__))
CLIP_LOW, CLIP_HIGH, CLIP_C = 0.2, 0.28, 10.0
TEMPERATURES = [1.0, 0.7]
AGGREGATIONS = ["token-mean-verl", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm", "token-mean"]
SHAPE = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, max_position_embeddings=512)
MODELS = {
    "qwen2_tied": Qwen2Config(**SHAPE, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True),
    # Heads wider than hidden/heads, and a head of its own.
    "qwen2_untied": Qwen2Config(**SHAPE, num_attention_heads=4, num_key_value_heads=2, head_dim=12, tie_word_embeddings=False),
    # A context short enough for all three of llama3's frequency bands to occur.
    "llama3_scaled": LlamaConfig(**SHAPE, num_attention_heads=4, num_key_value_heads=1, tie_word_embeddings=False, rms_norm_eps=1e-5,
                                 rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                                                      high_freq_factor=4.0, original_max_position_embeddings=32)),
    "qwen3_qknorm": Qwen3Config(**SHAPE, num_attention_heads=4, num_key_value_heads=2, head_dim=16, tie_word_embeddings=True),
    # Weights in bfloat16 and in shards; the heads as vLLM's CPU kernels want them.
    "qwen3_bf16": Qwen3Config(**SHAPE, num_attention_heads=2, num_key_value_heads=1, head_dim=32, tie_word_embeddings=False, dtype="bfloat16"),
    # Every bias that there is, heads narrower than hidden/heads, the config of transformers 4.
    "llama_bias_v4": LlamaConfig(**SHAPE, num_attention_heads=4, num_key_value_heads=4, head_dim=6, tie_word_embeddings=True, attention_bias=True, mlp_bias=True,
                                 dtype="bfloat16", rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0,
                                                                       high_freq_factor=2.0, original_max_position_embeddings=64)),
}
SHARDED = {"llama3_scaled": "50KB", "qwen3_bf16": "20KB"}
OLD_CONFIG = {"llama_bias_v4"}


def draw(rng):
    """An architecture at random: (config, shard size, whether config.json is transformers 4's)."""
    heads_per_kv, kv = rng.choice([1, 2, 3, 7]), rng.choice([1, 2])
    head_dim = rng.choice([4, 6, 8, 12, 16])
    heads = kv * heads_per_kv
    rope = dict(rope_type="default", rope_theta=rng.choice([1e4, 1e5, 1e6]))
    if rng.random() < 0.3:
        rope = dict(rope_type="llama3", rope_theta=rng.choice([1e4, 5e5]), factor=rng.choice([4.0, 8.0, 32.0]), low_freq_factor=1.0,
                    high_freq_factor=rng.choice([2.0, 4.0]), original_max_position_embeddings=rng.choice([16, 32, 64]))
    kind = rng.choice([Qwen2Config, Qwen3Config, LlamaConfig])
    options = dict(vocab_size=rng.randint(96, 300), intermediate_size=rng.randint(17, 70), num_hidden_layers=rng.randint(1, 4),
                   max_position_embeddings=512, num_attention_heads=heads, num_key_value_heads=kv, rms_norm_eps=rng.choice([1e-5, 1e-6]),
                   tie_word_embeddings=rng.random() < 0.5, rope_parameters=rope, dtype=rng.choice(["float32", "bfloat16"]))
    if kind is Qwen3Config or rng.random() < 0.5:
        options |= dict(hidden_size=heads * rng.choice([3, 5, 6, 8]), head_dim=head_dim)
    else:
        options |= dict(hidden_size=heads * head_dim)
    if kind is not Qwen2Config:
        options |= dict(attention_bias=rng.random() < 0.5)
    if kind is LlamaConfig:
        options |= dict(mlp_bias=rng.random() < 0.5)
    return kind(**options), rng.choice(["1GB", "10KB"]), rng.random() < 0.5


def make_model(folder, name, config, shard, old_config):
    torch.manual_seed(hash_of(name))
    dtype = config.dtype or torch.float32  # from_config writes its own into the config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    spread = 0.18 * min(1, (32 / config.hidden_size) ** 0.5)
    with torch.no_grad():  # larger than an initialisation, so that every part of the model matters
        for key, p in model.named_parameters():
            if key.endswith("norm.weight"):
                p.copy_(1 + 0.3 * torch.randn_like(p))
            elif key.endswith("bias"):
                p.copy_(0.3 * torch.randn_like(p))
            else:
                p.copy_(spread * torch.randn_like(p))
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    os.remove(os.path.join(folder, "generation_config.json"))
    if old_config:
        as_transformers_4(os.path.join(folder, "config.json"))


def as_transformers_4(path):
    with open(path) as f:
        config = json.load(f)
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.57.1"
    config.pop("layer_types", None)
    with open(path, "w") as f:
        json.dump(config, f, indent=2)
        f.write("\n")


def load(folder, dtype):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def hash_of(name):
    return sum(ord(c) * 31 ** i for i, c in enumerate(name)) % 2 ** 31


def make_batch(name):
    rng = random.Random(name)
    groups = []
    for g, n_correct in enumerate([2, 0, 3]):  # the second has equal rewards: advantage 0, tokens counted
        prompt = [rng.randrange(96) for _ in range(rng.randint(3, 9))]
        rewards = [1.0] * n_correct + [-1.0] * (4 - n_correct)
        rng.shuffle(rewards)
        lengths = [1] + [rng.randint(2, 30) for _ in range(3)]
        groups += [dict(group=g, prompt_token_ids=prompt, token_ids=[rng.randrange(96) for _ in range(k)], reward=r)
                   for k, r in zip(lengths, rewards)]
    return groups


def scores(model, prompt, response, temperature=1.0):
    """Log-probs of the response, and the entropies they were drawn with."""
    logits = model(input_ids=torch.tensor([prompt + response])).logits[0, len(prompt) - 1:-1].to(torch.float64) / temperature
    logp = logits.log_softmax(-1)
    return logp.gather(-1, torch.tensor(response)[:, None])[:, 0], -(logp.exp() * logp).sum(-1)


def advantages(batch):
    out = []
    for g in sorted({r["group"] for r in batch}):
        rewards = torch.tensor([r["reward"] for r in batch if r["group"] == g], dtype=torch.float64)
        out += ((rewards - rewards.mean()) / (rewards.std() + 1e-6)).tolist()
    return out


def token_losses(logp, old, advantage):
    ratio = (logp - old).exp()
    plain = -advantage * ratio
    clipped = -advantage * ratio.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH)
    loss = torch.maximum(plain, clipped)
    held = torch.minimum(loss, torch.full_like(loss, -advantage * CLIP_C)) if advantage < 0 else loss
    return held, clipped > plain, (held < loss) & (advantage < 0)


def objective(model, batch, aggregation, partitions):
    """The loss of the whole batch; sums over a partition first where the aggregation is verl's token-mean."""
    losses, upper, lower, kl, entropy = [], [], [], [], []
    for r, a in zip(batch, advantages(batch)):
        logp, h = scores(model, r["prompt_token_ids"], r["token_ids"])
        old = torch.tensor(r["old"], dtype=torch.float64)
        loss, up, low = token_losses(logp, old, a)
        losses.append(loss), upper.append(up), lower.append(low), kl.append(old - logp), entropy.append(h)
    n, tokens = len(batch), sum(len(x) for x in losses)
    total = {
        "token-mean": lambda: torch.cat(losses).mean(),
        "token-mean-verl": lambda: sum(torch.cat([losses[i] for i in p]).mean() * len(p) / n for p in partitions),
        "seq-mean-token-sum": lambda: sum(x.sum() for x in losses) / n,
        "seq-mean-token-mean": lambda: sum(x.mean() for x in losses) / n,
        "seq-mean-token-sum-norm": lambda: sum(x.sum() for x in losses) / max(len(x) for x in losses),  # as verl: not by n
    }[aggregation]()
    mean = lambda parts: (torch.cat(parts).to(torch.float64).mean()).item()
    return total, {"pg_loss": total.item(), "pg_clipfrac": mean(upper), "pg_clipfrac_lower": mean(lower),
                   "ppo_kl": mean(kl), "entropy": mean(entropy), "tokens": tokens}


def gradient(model, batch, aggregation, partitions):
    model.zero_grad()
    loss, metrics = objective(model, batch, aggregation, partitions)
    loss.backward()
    metrics["grad_norm"] = torch.stack([p.grad.double().norm() for p in model.parameters()]).norm().item()
    return metrics


def dump(path, value):
    with open(path, "w") as f:
        json.dump(value, f, separators=(",", ":"))
        f.write("\n")


def three_updates(model, batch, partitions, lr):
    """The figures of three updates, which change model."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    updates = []
    for _ in range(3):
        updates.append(gradient(model, batch, "token-mean", partitions))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return updates


def rounded(values):
    return [round(x, 8) for x in values.tolist()]


def fixture(folder, name, config, shard="1GB", old_config=False):
    make_model(folder, name, config, shard, old_config)
    exact, half = load(folder, torch.float64), load(folder, torch.bfloat16)
    batch = make_batch(name)
    rng = random.Random(name + "/old")
    with torch.no_grad():
        for r in batch:
            logp, _ = scores(exact, r["prompt_token_ids"], r["token_ids"])
            # Ratios on both sides of 0.8, 1.28 and 10.
            r["old"] = [round(x - rng.choice([0.0, 0.1, 0.3, -0.3, 0.8, -0.8, 2.6]) + rng.gauss(0, 0.02), 6) for x in logp.tolist()]
    n = len(batch)
    partitions = [list(range(0, n // 2)), list(range(n // 2, n - 1)), [n - 1]]

    forward = []
    with torch.no_grad():
        for t in TEMPERATURES:
            for r in batch[:4] + [dict(prompt_token_ids=[5], token_ids=[rng.randrange(96) for _ in range(150)])]:
                logp, h = scores(exact, r["prompt_token_ids"], r["token_ids"], t)
                forward.append(dict(temperature=t, prompt_token_ids=r["prompt_token_ids"], token_ids=r["token_ids"],
                                    logprobs=rounded(logp), entropy=rounded(h),
                                    bfloat16=rounded(scores(half, r["prompt_token_ids"], r["token_ids"], t)[0])))
    metrics = {a: gradient(exact, batch, a, partitions) for a in AGGREGATIONS}
    tensors = {"grad." + k: p.grad.float().contiguous() for k, p in exact.named_parameters()}  # of token-mean, the last

    single = load(folder, torch.float32)  # how exact PyTorch itself is in float32: the largest error of each gradient
    gradient(single, batch, "token-mean", partitions)
    float32_error = {k: (p.grad.double() - q.grad).abs().max().item() for (k, p), q in zip(single.named_parameters(), exact.parameters())}

    updates = {}
    for lr, prefix in ((1e-3, "after3."), (1e-6, "after3small.")):
        model = load(folder, torch.float32)
        updates[prefix] = three_updates(model, batch, partitions, lr)
        tensors |= {prefix + k: p.detach().clone().contiguous() for k, p in model.named_parameters()}

    save_file(tensors, os.path.join(folder, "reference.safetensors"))
    dump(os.path.join(folder, "batch.json"), batch)
    dump(os.path.join(folder, "reference.json"),
         dict(torch=torch.__version__, partitions=partitions, forward=forward, metrics=metrics, float32_error=float32_error,
              updates=updates["after3."], updates_small=updates["after3small."]))
    print(name, sum(p.numel() for p in exact.parameters()), {k: round(v, 4) for k, v in metrics["token-mean"].items()})


def main():
    torch.set_num_threads(1)  # operations this small only lose by more
    if sys.argv[1:2] == ["--random"]:
        seed, count, out = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
        for i in range(count):
            name = f"random_{seed}_{i}"
            fixture(os.path.join(out, name), name, *draw(random.Random(name)))
    else:
        for name in sys.argv[1:] or MODELS:
            fixture(os.path.join(HERE, name), name, MODELS[name], SHARDED.get(name, "1GB"), name in OLD_CONFIG)


if __name__ == "__main__":
    main()
