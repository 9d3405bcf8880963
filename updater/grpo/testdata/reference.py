"""Writes reference.json: the objective written down once more, in torch and in
float64, with the derivatives by autograd.

    python reference.py     # needs torch; made with 2.13.0
"""
import itertools
import json
import pathlib

import torch

torch.manual_seed(1)
f64 = torch.float64


def token_losses(logp, old, advantage, low, high, c):
    ratio = torch.exp(torch.clamp(logp - old, -20, 20))
    plain, held = -advantage * ratio, -advantage * torch.clamp(ratio, low, high)
    loss = torch.maximum(plain, held)
    floor = -advantage * c
    dual = torch.where(advantage < 0, torch.minimum(floor, loss), loss)
    return dual, held > plain, (loss > floor) & (advantage < 0)


def token(d, advantage, clip_low, clip_high, clip_c):
    """One token with old = 0 and logp = d. A setting "ratio" puts that bound exactly on the token's ratio."""
    logp = torch.tensor(d, dtype=f64, requires_grad=True)
    a = torch.tensor(advantage, dtype=f64)
    ratio = torch.exp(torch.tensor(d, dtype=f64)).item()
    low = ratio if clip_low == "ratio" else 1 - clip_low
    high = ratio if clip_high == "ratio" else 1 + clip_high
    c = ratio if clip_c == "ratio" else clip_c
    loss, clipped, lower = token_losses(logp, torch.zeros((), dtype=f64), a, low, high, c)
    loss.backward()
    return dict(d=d, advantage=advantage, clip_low=clip_low, clip_high=clip_high, clip_c=clip_c,
                loss=loss.item(), grad=logp.grad.item(), clipped=clipped.item(), lower=lower.item())


tokens = []
for d, a in itertools.product([-25.0, -20.0, -3.0, -0.3, -0.1, 0.0, 0.1, 0.2, 0.3, 2.2, 2.4, 20.0, 25.0], [-2.0, -0.5, 0.0, 0.7]):
    for low, high, c in [(0.2, 0.28, 10.0), (0.2, 0.2, 3.0), (0.0, 0.0, 1.5), (0.9, 1e12, 1e12)]:
        tokens.append(token(d, a, low, high, c))
for a in [-2.0, 0.0, 0.7]:
    tokens += [token(-0.3, a, "ratio", 0.28, 10.0), token(0.2, a, 0.2, "ratio", 10.0),
               token(2.2, a, 0.2, 0.28, "ratio"), token(0.1, a, 0.2, 0.28, "ratio"), token(0.2, a, 0.2, "ratio", "ratio")]

lengths = [3, 1, 7, 5, 2, 4]
packs = [[1, 4, 5], [2], [0, 3]]
n, width = len(lengths), 9
mask = (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).to(f64)
old = -3 * torch.rand(n, width, dtype=f64)
start = old + 0.8 * torch.randn(n, width, dtype=f64)
advantage = torch.tensor([1.5, -0.5, -2.0, 0.0, 0.25, -1.0], dtype=f64)


def aggregate(loss, mask, how):
    per_response = (loss * mask).sum(-1)
    if how == "token-mean":
        return per_response.sum() / mask.sum()
    if how == "seq-mean-token-sum":
        return per_response.mean()
    if how == "seq-mean-token-mean":
        return (per_response / mask.sum(-1)).mean()
    return per_response.sum() / width


def batch(how):
    logp = start.clone().requires_grad_()
    loss, clipped, lower = token_losses(logp, old, advantage[:, None], 0.8, 1.28, 1.6)
    if how == "token-mean-verl":
        total = sum(aggregate(loss[p], mask[p], "token-mean") * len(p) / n for p in packs)
    else:
        total = aggregate(loss, mask, how)
    total.backward()
    share = lambda x: ((x.to(f64) * mask).sum() / mask.sum()).item()
    return dict(aggregation=how, loss=total.item(), grad=[logp.grad[i, :t].tolist() for i, t in enumerate(lengths)],
                clipfrac=share(clipped), clipfrac_lower=share(lower), ppo_kl=share((old - logp).detach()))


rewards = [[1.0, -1.0], [0.0, 0.1, 0.2], [1.0] + [-1.0] * 7, [0.25, -1.5, 3.0, 3.0, 0.125]] + [torch.randn(8, dtype=f64).tolist()]


def advantages(r):
    r = torch.tensor(r, dtype=f64)
    centred = r - r.mean()
    return dict(rewards=r.tolist(), std=(centred / (r.std() + 1e-6)).tolist(), plain=centred.tolist())


out = dict(
    tokens=tokens,
    batch=dict(lengths=lengths, packs=packs, width=width, advantages=advantage.tolist(),
               logp=[start[i, :t].tolist() for i, t in enumerate(lengths)], old=[old[i, :t].tolist() for i, t in enumerate(lengths)],
               clip_low=0.2, clip_high=0.28, clip_c=1.6,
               results=[batch(h) for h in ("token-mean", "token-mean-verl", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm")]),
    advantages=[advantages(r) for r in rewards],
)
with open(pathlib.Path(__file__).with_name("reference.json"), "w") as f:
    json.dump(out, f, separators=(",", ":"))
    f.write("\n")
