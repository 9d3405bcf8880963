"""What the Python contenders share: the settings they get, the rollouts, and how they answer.

A contender is started with one argument, its settings as JSON (wire.Settings).
It loads the model and prints one line; then it answers each JSON line of its
input with another. It ends with its input.
"""

import dataclasses
import json
import os
import sys
from itertools import chain


@dataclasses.dataclass
class Settings:
    model: str  # folder
    rollouts: str  # JSON Lines file
    threads: int
    mini_batch: int  # problems an optimizer update
    pack_tokens: int
    recompute: bool  # layers, in the backward pass
    lr: float
    head: str  # of packed.py: "whole" or "tiled"
    keep_heap: bool


def settings():
    """Reads the settings, and applies those that count only before torch is imported."""
    s = Settings(**json.loads(sys.argv[1]))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(s.threads)
    if s.keep_heap:
        keep_heap()
    import torch

    torch.set_num_threads(s.threads)
    return s


def keep_heap():
    """Has glibc take large blocks from the heap and keep what is freed: pages are touched once, not once a tensor."""
    import ctypes

    trim_threshold, top_pad, mmap_max = -1, -2, -4
    libc = ctypes.CDLL(None)
    for option, value in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 64 << 20)):
        if not libc.mallopt(option, value):
            sys.exit(f"mallopt({option}, {value}) was refused")


@dataclasses.dataclass
class Rollout:
    prompt: list
    response: list
    reward: float
    advantage: float = 0.0

    def __len__(self):
        return len(self.prompt) + len(self.response)


def read_groups(path):
    """A list of groups, each a list of rollouts, with GRPO's advantages: (r - mean) / (std + 1e-6), std over n - 1."""
    groups = {}
    with open(path) as lines:
        for line in map(json.loads, lines):
            r = Rollout(line["prompt_token_ids"], line["token_ids"], line["reward"])
            groups.setdefault(line["group"], []).append(r)
    for group in groups.values():
        mean = sum(r.reward for r in group) / len(group)
        variance = sum((r.reward - mean) ** 2 for r in group) / max(1, len(group) - 1)
        for r in group:
            r.advantage = (r.reward - mean) / (variance**0.5 + 1e-6)
    return list(groups.values())


def mini_batches(groups, problems):
    """The rollouts of each optimizer update."""
    return [list(chain.from_iterable(groups[i : i + problems])) for i in range(0, len(groups), problems)]


def exact_norm(parameters):
    """The gradient's norm summed in float64: torch's float32 sum is off by 1e-5 at a million elements and 1e-3 at thirty."""
    parts = (part for p in parameters if p.grad is not None for part in p.grad.view(-1).split(1 << 20))
    return sum(part.double().square().sum().item() for part in parts) ** 0.5


def say(answer):
    print(json.dumps(answer), file=ANSWERS, flush=True)


def questions():
    return map(json.loads, sys.stdin)


# Libraries print to stdout what they like; answers alone go where they are read.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
