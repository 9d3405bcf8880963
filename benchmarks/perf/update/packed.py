"""PyTorch and transformers without padding: sequences end to end, attention inside each.

head "whole" makes the logits of all tokens of a pack at once, as verl does by
default; "tiled" makes those of response tokens alone, a tile at a time, and the
gradient with the loss, so that no pass makes logits twice. A question is
{"from", "to"}, a range of groups; one step on them is the answer.
"""

import sys
import time

import contender

S = contender.settings()

import torch
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM

CLIP_LOW, CLIP_HIGH, CLIP_C = 0.2, 0.28, 10.0
TILE_ROWS, TILE_BYTES = 512, 128 << 20

segments = []  # lengths of the sequences of the pack that runs


def attention_by_segment(module, q, k, v, mask, scaling=None, **ignored):
    """q, k, v [1, heads, tokens, size] -> [1, tokens, heads, size]."""
    shared = q.shape[1] != k.shape[1]
    parts = zip(*(x.split(segments, dim=2) for x in (q, k, v)))
    out = [scaled_dot_product_attention(*part, is_causal=True, scale=scaling, enable_gqa=shared) for part in parts]
    return torch.cat(out, dim=2).transpose(1, 2), None


def tiles(weight, *each):
    """Parts of tensors of as many rows, so few that their logits stay small."""
    rows = min(TILE_ROWS, TILE_BYTES // (4 * weight.shape[0]))
    return zip(*(x.split(rows) for x in each))


def score(hidden, weight, targets):
    """Log-probs of targets [N], and e^(logits - their largest) [N, V] with its sum [N, 1]: one pass of exp for both."""
    logits = linear(hidden, weight)
    chosen, largest = logits.gather(1, targets[:, None]), logits.amax(1, keepdim=True)
    powers = logits.sub_(largest).exp_()
    total = powers.sum(1, keepdim=True)
    return (chosen - largest - total.log())[:, 0], powers, total


def policy_loss(logprobs, old, advantage, tokens):
    """A pack's part of the mini-batch's token mean: asymmetric clip, and the dual clip where the advantage is negative."""
    ratio = (logprobs - old).exp()
    clipped = ratio.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH)
    loss = torch.maximum(-advantage * ratio, -advantage * clipped)
    bounded = torch.minimum(loss, -advantage * CLIP_C)
    return torch.where(advantage < 0, bounded, loss).sum() / tokens


class TiledLoss(torch.autograd.Function):
    """policy_loss of hidden [N, E] under the head's weight [V, E], each tile's logits made once.

    A token's loss depends on no other token, so its gradient is known as soon as
    its log-prob is: the tile gives the gradients of hidden and weight while its
    logits are there. That of the weight goes straight to weight.grad, hence the
    result must be what backward is called on.
    """

    @staticmethod
    def forward(ctx, hidden, weight, targets, old, advantage, tokens):
        dhidden, sum_ = torch.empty_like(hidden), torch.zeros(())
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        for h, y, o, a, dh in tiles(weight, hidden, targets, old, advantage, dhidden):
            logprobs, powers, total = score(h, weight, y)
            with torch.enable_grad():
                loss = policy_loss(logprobs.requires_grad_(), o, a, tokens)
                g = torch.autograd.grad(loss, logprobs)[0][:, None]
            dlogits = powers.mul_(-g / total).scatter_add_(1, y[:, None], g)
            torch.mm(dlogits, weight, out=dh)
            weight.grad.addmm_(dlogits.t(), h)
            sum_ += loss.detach()
        ctx.save_for_backward(dhidden)
        return sum_

    @staticmethod
    def backward(ctx, grad):
        return ctx.saved_tensors[0] * grad, None, None, None, None, None


class Pack:
    def __init__(self, rollouts):
        self.lengths = [len(r) for r in rollouts]
        self.ids = torch.tensor([t for r in rollouts for t in r.prompt + r.response])
        self.positions = torch.cat([torch.arange(n) for n in self.lengths])
        # A token is predicted by the one before it.
        ends = torch.tensor(self.lengths).cumsum(0).tolist()
        self.heads = torch.cat([torch.arange(e - len(r.response) - 1, e - 1) for e, r in zip(ends, rollouts)])
        self.advantage = torch.tensor([r.advantage for r in rollouts for _ in r.response])
        self.old = None

    def head(self, model):
        """Hidden states [N, E] of the response tokens, or of all with head "whole"; the weight; and what they predict."""
        segments[:] = self.lengths
        body = model.model(input_ids=self.ids[None], position_ids=self.positions[None], use_cache=False)
        hidden, targets = body.last_hidden_state[0], self.ids.roll(-1)
        if S.head == "tiled":
            hidden, targets = hidden[self.heads], targets[self.heads]
        return hidden, model.lm_head.weight, targets

    def logprobs(self, model):
        """Of the response tokens. A gradient is wanted with head "whole" only."""
        hidden, weight, targets = self.head(model)
        if S.head == "tiled":
            return torch.cat([score(h, weight, y)[0] for h, y in tiles(weight, hidden, targets)])
        logits = linear(hidden, weight)
        every = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(1)
        return every[self.heads]

    def loss(self, model, tokens):
        if S.head == "tiled":
            return TiledLoss.apply(*self.head(model), self.old, self.advantage, tokens)
        return policy_loss(self.logprobs(model), self.old, self.advantage, tokens)


def pack(rollouts):
    """First fit, the longest first."""
    bins = []
    for r in sorted(rollouts, key=len, reverse=True):
        room = next((b for b in bins if sum(map(len, b)) + len(r) <= S.pack_tokens), None)
        if room is None:
            bins.append(room := [])
        room.append(r)
    return [Pack(b) for b in bins]


class Clock:
    def __init__(self):
        self.at = time.perf_counter()

    def lap(self):
        before, self.at = self.at, time.perf_counter()
        return self.at - before


def step(model, optimizer, groups, exact):
    """With exact, which takes time, gradient norms are summed in float64."""
    began, clock = time.perf_counter(), Clock()
    answer = {"old_seconds": 0.0, "train_seconds": 0.0, "optimizer_seconds": 0.0, "losses": [], "grad_norms": []}
    minis = contender.mini_batches(groups, S.mini_batch)
    packs = [pack(rollouts) for rollouts in minis]
    for i, mini in enumerate(packs):
        with torch.no_grad():
            for p in mini:
                p.old = p.logprobs(model)
        lap = clock.lap()
        answer["old_seconds"] += lap
        if i == 0:
            answer["first_old_seconds"] = lap
    for rollouts, mini in zip(minis, packs):
        tokens, total = sum(len(r.response) for r in rollouts), 0.0
        for p in mini:
            loss = p.loss(model, tokens)
            loss.backward()
            total += loss.item()
        answer["train_seconds"] += clock.lap()
        answer["losses"].append(total)
        norm = contender.exact_norm(model.parameters()) if exact else None
        clipped = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()
        answer["grad_norms"].append(norm or clipped)
        optimizer.step()
        optimizer.zero_grad()
        answer["optimizer_seconds"] += clock.lap()
    answer["seconds"] = time.perf_counter() - began
    return answer


def main():
    AttentionInterface.register("by_segment", attention_by_segment)
    AttentionMaskInterface.register("by_segment", lambda *args, **kwargs: None)
    model = AutoModelForCausalLM.from_pretrained(S.model, dtype=torch.float32, attn_implementation="by_segment").train()
    if S.recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), lr=S.lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1, fused=True)
    groups = contender.read_groups(S.rollouts)
    with torch.no_grad():  # weights that are mapped from the file come in now, not in the first step
        for p in model.parameters():
            p.add_(0.0)
    contender.say({"ready": True})
    for number, question in enumerate(contender.questions()):
        asked = groups[question["from"] : question["to"]]
        contender.say(step(model, optimizer, asked, exact=number == 0))  # the first is not timed


sys.exit(main())
