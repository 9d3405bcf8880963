"""The worker's end of justrl's weight transfer over TCP (bridge/vllm, tcp.go).

init_info names an address and a token: the worker connects, sends the token's bytes and
reads. update_info names tensors in the order in which their bytes come, whole (not cut for
this worker), little endian and without anything between. justrl closes the connection after
each load; one that ends inside a tensor fails the update, and vLLM then expects a new start.
"""

import math
import socket
from dataclasses import dataclass

import torch
from vllm.distributed.weight_transfer.base import WeightTransferEngine, WeightTransferInitInfo, WeightTransferUpdateInfo

PATIENCE = 60  # seconds for the next bytes


@dataclass
class TCPInitInfo(WeightTransferInitInfo):
    master_address: str
    master_port: int
    token: str
    rank_offset: int = 1
    world_size: int = 2


@dataclass
class TCPUpdateInfo(WeightTransferUpdateInfo):
    names: list
    dtype_names: list
    shapes: list

    def __post_init__(self):
        if not self.names or not len(self.names) == len(self.dtype_names) == len(self.shapes):
            raise ValueError(f"{len(self.names)} names, {len(self.dtype_names)} dtypes, {len(self.shapes)} shapes")


class TCPWeightTransferEngine(WeightTransferEngine):
    init_info_cls = TCPInitInfo
    update_info_cls = TCPUpdateInfo
    connection = None

    def init_transfer_engine(self, init_info):
        self.shutdown()
        self.connection = socket.create_connection((init_info.master_address, init_info.master_port), timeout=PATIENCE)
        self.connection.sendall(init_info.token.encode())

    def start_weight_update(self):
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        initialize_layerwise_reload(self.model)

    def finish_weight_update(self):
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        finalize_layerwise_reload(self.model, self.model_config)

    def update_weights(self, update_info):
        # Not the base class's, which synchronizes an accelerator that need not be there.
        self.receive_weights(self.parse_update_info(update_info))
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()

    def receive_weights(self, update_info):
        if self.connection is None:
            raise RuntimeError("init_weight_transfer_engine comes first")
        for name, dtype_name, shape in zip(update_info.names, update_info.dtype_names, update_info.shapes):
            dtype = getattr(torch, dtype_name)
            data = self.read(name, math.prod(shape) * dtype.itemsize)
            tensor = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
            self.model.load_weights([(name, tensor.view(shape).to(self.device))])

    def read(self, name, size):
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            n = self.connection.recv_into(rest)
            if n == 0:
                raise RuntimeError(f"the trainer closed the connection {len(rest)} bytes before the end of {name}")
            rest = rest[n:]
        return data

    def shutdown(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None
