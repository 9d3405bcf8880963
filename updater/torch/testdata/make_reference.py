#!/usr/bin/env python3
"""Writes the fixtures of this folder: tiny models and what PyTorch makes of them.

    python make_reference.py        (torch 2.13, transformers 5.19; a minute on a CPU)

For each model a folder with config.json and weights as transformers writes
them, batch.json (rollouts with perturbed old log-probs), reference.json
(numbers) and reference.safetensors (gradients, weights after three updates).
Everything is computed one sequence at a time, without packing, in float64 but for
the norms and the rotary table, which the models fix to float32, from the formulas in
updater/grpo's documentation; after3.* is float32, as the trainer is.
"""
import json
import os
import random

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

HERE = os.path.dirname(os.path.abspath(__file__))
CLIP_LOW, CLIP_HIGH, CLIP_C = 0.2, 0.28, 10.0
TEMPERATURES = [1.0, 0.7]
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
}


def make_model(name, config):
    torch.manual_seed(hash_of(name))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():  # larger than an initialisation, so that every part of the model matters
        for key, p in model.named_parameters():
            if key.endswith("norm.weight"):
                p.copy_(1 + 0.3 * torch.randn_like(p))
            elif key.endswith("bias"):
                p.copy_(0.3 * torch.randn_like(p))
            else:
                p.copy_(0.18 * torch.randn_like(p))
    model.save_pretrained(os.path.join(HERE, name), max_shard_size="50KB" if name == "llama3_scaled" else "1GB")
    os.remove(os.path.join(HERE, name, "generation_config.json"))
    return model.eval()


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


for name, config in MODELS.items():
    model = make_model(name, config)
    exact = AutoModelForCausalLM.from_pretrained(os.path.join(HERE, name), dtype=torch.float64, attn_implementation="eager").eval()
    batch = make_batch(name)
    rng = random.Random(name + "/old")
    with torch.no_grad():
        for r in batch:
            logp, _ = scores(exact, r["prompt_token_ids"], r["token_ids"])
            # Ratios on both sides of 0.8, 1.28 and 10.
            r["old"] = [round(x - rng.choice([0.0, 0.1, 0.3, -0.3, 0.8, -0.8, 2.6]) + rng.gauss(0, 0.02), 6) for x in logp.tolist()]
    half = len(batch) // 2
    partitions = [list(range(0, half)), list(range(half, len(batch) - 1)), [len(batch) - 1]]

    forward = []
    with torch.no_grad():
        for t in TEMPERATURES:
            for r in batch[:4] + [dict(prompt_token_ids=[5], token_ids=[rng.randrange(96) for _ in range(150)])]:
                logp, h = scores(exact, r["prompt_token_ids"], r["token_ids"], t)
                forward.append(dict(temperature=t, prompt_token_ids=r["prompt_token_ids"], token_ids=r["token_ids"],
                                    logprobs=[round(x, 8) for x in logp.tolist()], entropy=[round(x, 8) for x in h.tolist()]))
    metrics = {a: gradient(exact, batch, a, partitions) for a in
               ["token-mean-verl", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm", "token-mean"]}
    tensors = {"grad." + k: p.grad.float().contiguous() for k, p in exact.named_parameters()}  # of token-mean, the last

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    updates = []
    for _ in range(3):
        updates.append(gradient(model, batch, "token-mean", partitions))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    tensors |= {"after3." + k: p.detach().clone().contiguous() for k, p in model.named_parameters()}

    folder = os.path.join(HERE, name)
    save_file(tensors, os.path.join(folder, "reference.safetensors"))
    dump(os.path.join(folder, "batch.json"), batch)
    dump(os.path.join(folder, "reference.json"),
         dict(torch=torch.__version__, partitions=partitions, forward=forward, metrics=metrics, updates=updates))
    print(name, sum(p.numel() for p in model.parameters()), {k: round(v, 4) for k, v in metrics["token-mean"].items()})
