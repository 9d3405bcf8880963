"""What transformers makes of a model folder: the oracle of smollm2_test.go.

smollm2_oracle.py MODEL < QUESTIONS > ANSWERS, both JSON Lines, one answer a question:

  {"text": …}       {"token_ids": […], "decoded": …}
  {"question": …}   {"prompt": …, "answer": …}: rendered by the chat template, and the greedy answer
  {"token_ids": […]}  {"float32": […], "float64": […]}: the log-prob of each token but the first
"""

import functools
import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(2)
folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder)


@functools.cache
def model(dtype):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), attn_implementation="eager").eval()


@torch.no_grad()
def logprobs(dtype, ids):
    # The softmax is in float64 for both: what differs is the network's arithmetic.
    logits = model(dtype)(torch.tensor([ids])).logits[0, :-1].double()
    return logits.log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()


@torch.no_grad()
def answer(question):
    messages = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
    out = model("float32").generate(**ids, max_new_tokens=32, do_sample=False)
    return {"prompt": prompt, "answer": tokenizer.decode(out[0, ids["input_ids"].shape[1]:], skip_special_tokens=True)}


for line in sys.stdin:
    q = json.loads(line)
    if "text" in q:
        ids = tokenizer.encode(q["text"], add_special_tokens=False)
        a = {"token_ids": ids, "decoded": tokenizer.decode(ids)}
    elif "question" in q:
        a = answer(q["question"])
    else:
        a = {dtype: logprobs(dtype, q["token_ids"]) for dtype in ("float32", "float64")}
    print(json.dumps(a), flush=True)
