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


def rows(x):
    return [x[i, :t].tolist() for i, t in enumerate(lengths)]


def aggregate_packs(loss, how):
    if how == "token-mean-verl":
        return sum(aggregate(loss[p], mask[p], "token-mean") * len(p) / n for p in packs)
    return aggregate(loss, mask, how)


def batch(how):
    logp = start.clone().requires_grad_()
    loss, clipped, lower = token_losses(logp, old, advantage[:, None], 0.8, 1.28, 1.6)
    total = aggregate_packs(loss, how)
    total.backward()
    share = lambda x: ((x.to(f64) * mask).sum() / mask.sum()).item()
    return dict(aggregation=how, loss=total.item(), grad=rows(logp.grad),
                clipfrac=share(clipped), clipfrac_lower=share(lower), ppo_kl=share((old - logp).detach()))


rewards = [[1.0, -1.0], [0.0, 0.1, 0.2], [1.0] + [-1.0] * 7, [0.25, -1.5, 3.0, 3.0, 0.125]] + [torch.randn(8, dtype=f64).tolist()]


def advantages(r):
    r = torch.tensor(r, dtype=f64)
    centred = r - r.mean()
    return dict(rewards=r.tolist(), std=(centred / (r.std() + 1e-6)).tolist(), plain=centred.tolist())


# The terms that JustRL leaves out, as verl has them.
server = old + 0.5 * torch.randn(n, width, dtype=f64)
server[4, 0], server[4, 1] = old[4, 0] - 25, old[4, 1] + 25
reference = start + 0.7 * torch.randn(n, width, dtype=f64)
reference[2, 0], reference[2, 1], reference[2, 2], reference[2, 3] = start[2, 0] + 25, start[2, 1] - 25, start[2, 2] + 2.6, start[2, 3] + 1e-7
entropy = 3 * torch.rand(n, width, dtype=f64)


def reference_kl(estimator, logp):
    if estimator == "k1":
        return logp - reference
    if estimator == "k2":
        return 0.5 * (logp - reference).square()
    r = torch.clamp(reference - logp, -20, 20)
    return torch.clamp(torch.exp(r) - r - 1, -10, 10)


def option(how, ratio="token", tis_cap=0.0, entropy_coef=0.0, kl_coef=0.0, kl_estimator="k3", clip_c=1.6):
    logp, h = start.clone().requires_grad_(), entropy.clone().requires_grad_()
    d = logp - old
    if ratio == "sequence":  # the ratio of the response, with a gradient by each of its tokens
        mean = (d * mask).sum(-1) / mask.sum(-1)
        d = mean.detach()[:, None] + logp - logp.detach()
    loss, clipped, lower = token_losses(d, torch.zeros_like(d), advantage[:, None], 0.8, 1.28, clip_c)
    share = lambda x: ((x.detach().to(f64) * mask).sum() / mask.sum()).item()
    out = dict(aggregation=how, ratio=ratio, tis_cap=tis_cap, entropy_coef=entropy_coef, kl_coef=kl_coef, kl_estimator=kl_estimator,
               clip_c=clip_c, clipfrac=share(clipped), clipfrac_lower=share(lower), kl_loss=0.0, entropy_loss=0.0, tis_mean=0.0, tis_capped=0.0)
    if tis_cap > 0:
        raw = torch.exp(torch.clamp(old - server, -20, 20))
        weight = torch.clamp(raw, max=tis_cap)
        loss = loss * weight
        out |= dict(tis_mean=share(weight), tis_capped=share(raw > tis_cap))
    total = pg = aggregate_packs(loss, how)
    if kl_coef > 0:
        kl = aggregate_packs(reference_kl(kl_estimator, logp), how)
        total = total + kl_coef * kl
        out["kl_loss"] = kl.item()
    if entropy_coef > 0:
        bonus = aggregate_packs(h, how)
        total = total - entropy_coef * bonus
        out["entropy_loss"] = bonus.item()
    total.backward()
    moved = torch.clamp(logp - old, -20, 20).detach()
    return out | dict(pg_loss=pg.item(), ppo_kl_k3=share(torch.expm1(moved) - moved), grad=rows(logp.grad),
                      entropy_grad=rows(h.grad) if h.grad is not None else [])


AGGREGATIONS = ("token-mean", "token-mean-verl", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm")
options = []
for how in AGGREGATIONS:
    options += [option(how, kl_coef=0.3, kl_estimator=k) for k in ("k1", "k2", "k3")]
    options += [option(how, entropy_coef=0.05), option(how, tis_cap=1.3), option(how, ratio="sequence"), option(how, ratio="sequence", clip_c=1e9),
                option(how, ratio="sequence", tis_cap=2.0, entropy_coef=0.01, kl_coef=0.001)]

out = dict(
    tokens=tokens,
    batch=dict(lengths=lengths, packs=packs, width=width, advantages=advantage.tolist(),
               logp=rows(start), old=rows(old), server=rows(server), reference=rows(reference), entropy=rows(entropy),
               clip_low=0.2, clip_high=0.28, clip_c=1.6,
               results=[batch(h) for h in AGGREGATIONS], options=options),
    advantages=[advantages(r) for r in rewards],
)
with open(pathlib.Path(__file__).with_name("reference.json"), "w") as f:
    json.dump(out, f, separators=(",", ":"))
    f.write("\n")
