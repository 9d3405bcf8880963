"""transformers' generate as a contender: MODEL THREADS, JSON Lines in and out.

A question is {"prompts": [[id, …], …], "n", "max_tokens", "eos": [id, …], "seed"};
the answer counts the sampled tokens up to the end of each sequence, that token
included, and the seconds that generate took. The first line says that it is
ready. It ends with its input.
"""

import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

folder, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
# The folder's own defaults could narrow the distribution.
model.generation_config = GenerationConfig()


@torch.inference_mode()
def generate(q):
    torch.manual_seed(q["seed"] % 2**63)
    pad = q["eos"][0] if q["eos"] else 0
    width = max(map(len, q["prompts"]))
    ids = torch.tensor([[pad] * (width - len(p)) + p for p in q["prompts"]])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in q["prompts"]])
    out = model.generate(
        input_ids=ids, attention_mask=mask, num_return_sequences=q["n"], max_new_tokens=q["max_tokens"],
        do_sample=True, temperature=1.0, top_p=1.0, top_k=0, eos_token_id=q["eos"] or None, pad_token_id=pad,
    )[:, width:]
    ended = torch.isin(out, torch.tensor(q["eos"], dtype=out.dtype))
    # A sequence's tokens are those before which none was an end.
    return int((ended.cumsum(1) - ended.long() == 0).sum())


print(json.dumps({"tokens": 0}), flush=True)
for line in sys.stdin:
    began = time.monotonic()
    tokens = generate(json.loads(line))
    print(json.dumps({"tokens": tokens, "seconds": time.monotonic() - began}), flush=True)
