"""Lets vLLM 0.32 on a CPU reload a model whose head is its embedding.

There vLLM packs every weight for oneDNN when it loads, the head's too. A tied
head is in no checkpoint, so a reload ("ParallelLMHead: Failed to load weights")
leaves it the old packed copy: the new network with the old head, and no error.
With this the tied head multiplies by the embedding itself, which a reload does
write to. scripts/vllm-serve has the worker import it (--worker-extension-cls).
"""

import torch
from vllm.model_executor.layers.vocab_parallel_embedding import UnquantizedEmbeddingMethod

tie_weights = UnquantizedEmbeddingMethod.tie_weights
process_weights = UnquantizedEmbeddingMethod.process_weights_after_loading


def tie(self, layer, embed_tokens):
    layer.justrl_tied = True
    return tie_weights(self, layer, embed_tokens)


def process(self, layer):
    if getattr(layer, "justrl_tied", False):
        layer.cpu_linear = torch.nn.functional.linear
        return
    process_weights(self, layer)


UnquantizedEmbeddingMethod.tie_weights = tie
UnquantizedEmbeddingMethod.process_weights_after_loading = process


class TiedHead:
    """A worker extension without methods: importing it is what counts."""
