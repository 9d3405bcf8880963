"""libtorch's rate for the matrix products of a model's weights: forward and both of the backward pass.

Products of one input (query, key and value; gate and up) are timed apart, as
transformers has them, and as one product with the weights side by side, as the
updater has them.

A question is {"rows", "head_rows"}, the tokens of a pack and those of it whose
logits are wanted. The answer is floating-point operations a second, all products
of a pass over the time that they take: "separate", "joined", and "flops" with the
faster of the two for each such group of products.
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
    """The input's width and the outputs' widths of the products of a layer, by input; and the head's."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or hidden // heads
    keys = config.get("num_key_value_heads") or heads
    layer = [
        (hidden, (heads * size, keys * size, keys * size)),
        (heads * size, (hidden,)),
        (hidden, (inner, inner)),
        (inner, (hidden,)),
    ]
    return layer, (hidden, config["vocab_size"])


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


def rates(config, rows, head_rows):
    layer, head = weights(config)
    layers, tile = config["num_hidden_layers"], min(HEAD_TILE, head_rows)
    flop = 3 * 2 * head_rows * head[0] * head[1]
    taken = dict.fromkeys(("separate", "joined", "flops"), three(tile, *head) * head_rows / tile)
    for width, outs in layer:
        flop += 3 * 2 * rows * width * sum(outs) * layers
        once = {out: three(rows, width, out) for out in set(outs)}
        separate = sum(once[out] for out in outs)
        joined = three(rows, width, sum(outs)) if len(outs) > 1 else separate
        for key, s in (("separate", separate), ("joined", joined), ("flops", min(separate, joined))):
            taken[key] += s * layers
    return {key: flop / s for key, s in taken.items()}


def main():
    with open(os.path.join(S.model, "config.json")) as f:
        config = json.load(f)
    contender.say({"ready": True})
    for question in contender.questions():
        contender.say(rates(config, question["rows"], question["head_rows"]))


sys.exit(main())
