"""TRL's own GRPOTrainer, given the completions instead of sampling them.

A question {"from", "to"} must name all groups of the file, every time: TRL wants
its batches to be of one size. What it does with a batch is its own: how it
pads, scores, accumulates, clips and moves. Two things are set so that its
figures can be compared: its sequences stay in order instead of being shuffled
over the batch's updates, and its rewards are larger, which makes the constant
that it adds to the standard deviation as small as the others'.
"""

import os
import sys
import tempfile
import time
import warnings

import contender

S = contender.settings()
warnings.filterwarnings("ignore")
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, PrinterCallback, TrainerCallback, logging
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import grpo_trainer

MICRO_BATCH = 8  # sequences, TRL's default
REWARD_SCALE = 100  # 1e-4, its constant, over 1e-6, ours
FOREVER = 1 << 30


class Loop(TrainerCallback):
    """Has the trainer wait for a question before each batch and answer it after its last update."""

    def __init__(self, tokens):
        self.tokens = tokens  # response tokens of each update
        self.questions = contender.questions()
        self.old_seconds = 0.0
        self.norms = []  # of the first batch, exact

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        with torch.no_grad():  # weights that are mapped from the file come in now, not in the first step
            for p in model.parameters():
                p.add_(0.0)
        contender.say({"ready": True})

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step % len(self.tokens) == 0:
            if next(self.questions, None) is None:
                os._exit(0)  # a trainer in the middle of its work has no way out
            self.answer = {"losses": [], "grad_norms": []}
            self.old_seconds, self.began = 0.0, time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        self.ended = time.perf_counter()

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "grad_norm" not in logs:
            return
        # It divides by the mean tokens of an update, the others by each one's own.
        scale = sum(self.tokens) / len(self.tokens) / self.tokens[len(self.answer["losses"])]
        self.answer["losses"].append(logs["loss"] * scale)
        norm = self.norms.pop(0) if self.norms else logs["grad_norm"]
        self.answer["grad_norms"].append(norm * scale)
        if len(self.answer["losses"]) == len(self.tokens):
            contender.say({**self.answer, "seconds": self.ended - self.began, "old_seconds": self.old_seconds})


def trainer_class(loop):
    class Timed(GRPOTrainer):
        def _get_per_token_logps_and_entropies(self, *args, **kwargs):
            began = time.perf_counter()
            out = super()._get_per_token_logps_and_entropies(*args, **kwargs)
            if not torch.is_grad_enabled():
                loop.old_seconds += time.perf_counter() - began
            return out

    return Timed


def main():
    logging.set_verbosity_error()
    grpo_trainer.shuffle_sequence_dict = lambda batch: batch
    groups = contender.read_groups(S.rollouts)
    n, sequences = len(groups[0]), sum(map(len, groups))
    updates = len(groups) // S.mini_batch
    if updates * S.mini_batch != len(groups) or any(len(g) != n for g in groups) or S.mini_batch * n % MICRO_BATCH:
        sys.exit(f"TRL needs equal groups, mini-batches that divide them and micro-batches of {MICRO_BATCH}")
    minis = contender.mini_batches(groups, S.mini_batch)
    loop = Loop([sum(len(r.response) for r in mini) for mini in minis])

    # A prompt is its group's number; what it decodes completions with does not matter.
    names = [str(i) for i in range(len(groups))]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"<end>": 0, "<pad>": 1}, unk_token="<pad>")), eos_token="<end>", pad_token="<pad>"
    )

    def rollouts(prompts, trainer):
        asked, out = {}, []
        for p in prompts:
            asked[p] = asked.get(p, -1) + 1
            out.append(groups[int(p)][asked[p]])
        return {
            "prompt_ids": [r.prompt for r in out],
            "completion_ids": [r.response for r in out],
            "logprobs": None,
            "given": [REWARD_SCALE * r.reward for r in out],
        }

    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=S.recompute,
            per_device_train_batch_size=MICRO_BATCH,
            gradient_accumulation_steps=S.mini_batch * n // MICRO_BATCH,
            generation_batch_size=sequences,
            num_generations=n,
            max_completion_length=max(len(r.response) for g in groups for r in g),
            max_steps=FOREVER,
            beta=0.0,
            epsilon=0.2,
            epsilon_high=0.28,
            delta=10.0,
            loss_type="dapo",
            temperature=1.0,
            learning_rate=S.lr,
            lr_scheduler_type="constant",
            weight_decay=0.1,
            max_grad_norm=1.0,
            optim="adamw_torch_fused",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            shuffle_dataset=False,
            dataloader_pin_memory=False,
        )
        trainer = trainer_class(loop)(
            model=AutoModelForCausalLM.from_pretrained(S.model, dtype=torch.float32, attn_implementation="sdpa"),
            reward_funcs=lambda prompts, completions, given, **kwargs: given,
            args=config,
            train_dataset=Dataset.from_dict({"prompt": names}),
            processing_class=tokenizer,
            rollout_func=rollouts,
            callbacks=[loop],
        )
        trainer.remove_callback(PrinterCallback)
        clip = trainer.accelerator.clip_grad_norm_

        def measured(parameters, *args, **kwargs):
            parameters = list(parameters)
            if trainer.state.global_step < updates:
                loop.norms.append(contender.exact_norm(parameters))
            return clip(parameters, *args, **kwargs)

        trainer.accelerator.clip_grad_norm_ = measured
        trainer.train()


sys.exit(main())
