"""libtorch's rate for the matrix products of a model's weights: forward and both of the backward pass.

A question is {"rows", "head_rows"}, the tokens of a pack and those of it whose
logits are wanted; the answer is floating-point operations a second, all
products of a pass over the time that they take.
"""

import json
import os
import sys
import time

import contender

S = contender.settings()

import torch

SECONDS = 0.2  # at least, for each product
HEAD_TILE = 512


def weights(config):
    """Rows (input), columns (output) and how many of each weight; the last is the head."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or hidden // heads
    keys = config.get("num_key_value_heads") or heads
    layer = [(hidden, heads * size), (hidden, keys * size), (hidden, keys * size), (heads * size, hidden)]
    layer += [(hidden, inner), (hidden, inner), (inner, hidden)]
    counts = {}
    for shape in layer:
        counts[shape] = counts.get(shape, 0) + config["num_hidden_layers"]
    return [(*shape, n) for shape, n in counts.items()], (hidden, config["vocab_size"])


def seconds(product):
    product()
    times = []
    while len(times) < 3 or sum(times) < SECONDS:
        began = time.perf_counter()
        product()
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2]


def three(rows, width, out):
    """Seconds of y = x Wᵀ, dx = dy W and dW = dyᵀ x."""
    x, w, dy = torch.randn(rows, width), torch.randn(out, width), torch.randn(rows, out)
    y, dx, dw = torch.empty(rows, out), torch.empty(rows, width), torch.empty(out, width)
    return (
        seconds(lambda: torch.mm(x, w.t(), out=y))
        + seconds(lambda: torch.mm(dy, w, out=dx))
        + seconds(lambda: torch.mm(dy.t(), x, out=dw))
    )


def rate(config, rows, head_rows):
    body, head = weights(config)
    jobs = [(rows, width, out, count) for width, out, count in body]
    tile = min(HEAD_TILE, head_rows)
    jobs.append((tile, *head, head_rows / tile))
    flop = sum(3 * 2 * n * width * out * count for n, width, out, count in jobs)
    return flop / sum(three(n, width, out) * count for n, width, out, count in jobs)


def main():
    with open(os.path.join(S.model, "config.json")) as f:
        config = json.load(f)
    contender.say({"ready": True})
    for question in contender.questions():
        contender.say({"flops": rate(config, question["rows"], question["head_rows"])})


sys.exit(main())
