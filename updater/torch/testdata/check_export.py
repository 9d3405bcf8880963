#!/usr/bin/env python3
"""Loads folders of weights as a user of transformers would, and scores with them.

Reads lines of {"dir", "token_ids"} (many sequences) and answers each with
{"dtype", "problems", "logprobs"}: the dtype that the folder loads in when none is
asked for, what transformers found missing, unexpected or of another shape, and
the float64 log-probs of every token but the first.
"""
import json
import sys

import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(1)
for line in sys.stdin:
    question = json.loads(line)
    model, info = AutoModelForCausalLM.from_pretrained(question["dir"], output_loading_info=True, attn_implementation="eager")
    problems = [f"{kind}: {value}" for kind, value in info.items() if value]
    exact = AutoModelForCausalLM.from_pretrained(question["dir"], dtype=torch.float64, attn_implementation="eager").eval()
    logprobs = []
    with torch.no_grad():
        for ids in question["token_ids"]:
            logits = exact(input_ids=torch.tensor([ids])).logits[0, :-1].to(torch.float64)
            logprobs.append(logits.log_softmax(-1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].tolist())
    print(json.dumps({"dtype": str(model.dtype).removeprefix("torch."), "problems": problems, "logprobs": logprobs}))
