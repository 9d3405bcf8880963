"""A vLLM plugin: weights from justrl over TCP, for servers that share no disk with it.

It adds the backend "justrl_tcp" to vLLM's weight-transfer routes. Put this folder on
PYTHONPATH (it has its own dist-info, so that vLLM finds it without an installation) and
start vLLM, 0.22 or later, with --weight-transfer-config '{"backend":"justrl_tcp"}'.
It works without a GPU. The engine is in a module of its own, as this one is imported
by every process of vLLM.
"""


def register():
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    if "justrl_tcp" not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine("justrl_tcp", "justrl_transfer_engine", "TCPWeightTransferEngine")
