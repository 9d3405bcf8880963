#!/usr/bin/env python3
"""Writes options.json and options.safetensors: what PyTorch makes of the terms
that baselines add to the objective, on models of this folder, by autograd.

    python make_options.py          (after make_reference.py, which makes the models; the same versions)

For each case the loss's parts and gradients of parameters: all of them where all
terms are on, else some from both ends of the model. One sequence at a time, in
float64, from the formulas in updater/grpo's documentation.
"""
import json
import os
import random

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from make_reference import advantages, scores

HERE = os.path.dirname(os.path.abspath(__file__))
CLIP_LOW, CLIP_HIGH, CLIP_C = 0.2, 0.28, 10.0
SOME = ("embed_tokens", "layers.0.self_attn.q_proj.weight", "layers.1.mlp.down_proj", "model.norm")

# The reference is another model with the same vocabulary, of another architecture.
BASE = dict(model="qwen2_tied", reference="qwen3_qknorm", temperature=1.0, aggregation="token-mean", ratio="token", tis_cap=0.0,
            entropy_coef=0.0, kl_coef=0.0, kl_estimator="k3")
EVERYTHING = dict(ratio="sequence", tis_cap=1.5, entropy_coef=0.02, kl_coef=0.1, temperature=0.7, aggregation="seq-mean-token-mean")
CASES = {
    "k1": dict(kl_coef=0.5, kl_estimator="k1"),
    "k2": dict(kl_coef=0.5, kl_estimator="k2"),
    "k3": dict(kl_coef=0.5, kl_estimator="k3", aggregation="seq-mean-token-sum-norm"),
    "entropy": dict(entropy_coef=0.3),
    "entropy at 0.7": dict(entropy_coef=0.3, temperature=0.7, aggregation="token-mean-verl"),
    "sequence": dict(ratio="sequence", aggregation="seq-mean-token-mean"),
    "tis": dict(tis_cap=1.3),
    "everything": EVERYTHING,
    "everything, untied": EVERYTHING | dict(model="qwen2_untied", reference="llama3_scaled", kl_estimator="k2"),
}


def load(name):
    return AutoModelForCausalLM.from_pretrained(os.path.join(HERE, name), dtype=torch.float64, attn_implementation="eager").eval()


def token_losses(d, a):
    ratio = d.exp()
    loss = torch.maximum(-a * ratio, -a * ratio.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH))
    return torch.minimum(loss, torch.full_like(loss, -a * CLIP_C)) if a < 0 else loss


def kl(estimator, logp, reference):
    d = logp - reference
    if estimator == "k1":
        return d
    if estimator == "k2":
        return d.square() / 2
    r = (-d).clamp(-20, 20)
    return (r.exp() - r - 1).clamp(-10, 10)


def aggregate(parts, how, partitions):
    n = len(parts)
    return {
        "token-mean": lambda: torch.cat(parts).mean(),
        "token-mean-verl": lambda: sum(torch.cat([parts[i] for i in p]).mean() * len(p) / n for p in partitions),
        "seq-mean-token-mean": lambda: sum(x.mean() for x in parts) / n,
        "seq-mean-token-sum-norm": lambda: sum(x.sum() for x in parts) / max(len(x) for x in parts),
    }[how]()


def run(case, server, partitions):
    model, reference = load(case["model"]), load(case["reference"])
    with open(os.path.join(HERE, case["model"], "batch.json")) as f:
        batch = json.load(f)
    losses, kls, entropies, weights, capped = [], [], [], [], []
    for r, a, s in zip(batch, advantages(batch), server):
        logp, h = scores(model, r["prompt_token_ids"], r["token_ids"], case["temperature"])
        with torch.no_grad():
            ref, _ = scores(reference, r["prompt_token_ids"], r["token_ids"], case["temperature"])
        old = torch.tensor(r["old"], dtype=torch.float64)
        d = logp - old
        if case["ratio"] == "sequence":
            d = d.mean().detach() + logp - logp.detach()
        loss = token_losses(d, a)
        if case["tis_cap"] > 0:
            raw = (old - torch.tensor(s, dtype=torch.float64)).exp()
            weights.append(raw.clamp(max=case["tis_cap"])), capped.append((raw > case["tis_cap"]).double())
            loss = loss * weights[-1]
        losses.append(loss), kls.append(kl(case["kl_estimator"], logp, ref)), entropies.append(h)
    pg, divergence, bonus = (aggregate(x, case["aggregation"], partitions) for x in (losses, kls, entropies))
    (pg + case["kl_coef"] * divergence - case["entropy_coef"] * bonus).backward()
    out = dict(pg_loss=pg.item(), entropy=torch.cat(entropies).mean().item(),
               kl_loss=divergence.item() if case["kl_coef"] > 0 else 0.0, entropy_loss=bonus.item() if case["entropy_coef"] > 0 else 0.0,
               tis_mean=torch.cat(weights).mean().item() if weights else 0.0, tis_capped=torch.cat(capped).mean().item() if capped else 0.0,
               grad_norm=torch.stack([p.grad.norm() for p in model.parameters()]).norm().item())
    return out, {k: p.grad.float().contiguous() for k, p in model.named_parameters()}


def main():
    server = {}
    for name in {c.get("model", BASE["model"]) for c in CASES.values()}:
        rng = random.Random(name + "/server")
        with open(os.path.join(HERE, name, "batch.json")) as f:
            server[name] = [[round(x + rng.choice([0.0, 0.1, -0.2, -0.6, 0.9]) + rng.gauss(0, 0.02), 6) for x in r["old"]] for r in json.load(f)]
    cases, tensors = [], {}
    for name, change in CASES.items():
        case = BASE | change
        with open(os.path.join(HERE, case["model"], "reference.json")) as f:
            partitions = json.load(f)["partitions"]
        got, grads = run(case, server[case["model"]], partitions)
        cases.append(dict(name=name) | case | dict(partitions=partitions, want=got))
        kept = {k: g for k, g in grads.items() if case["tis_cap"] * case["kl_coef"] > 0 or any(s in k for s in SOME)}
        tensors |= {name + "/" + k: g for k, g in kept.items()}
        print(name, {k: round(v, 4) for k, v in got.items()})
    save_file(tensors, os.path.join(HERE, "options.safetensors"))
    with open(os.path.join(HERE, "options.json"), "w") as f:
        json.dump(dict(torch=torch.__version__, server=server, cases=cases), f, separators=(",", ":"))
        f.write("\n")


main()
