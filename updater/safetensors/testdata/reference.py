"""Writes reference.safetensors with the reference implementation: every type
that torch and this package share, an empty tensor, a scalar, a name that JSON
must escape. Element k of a tensor is k (mod 2 for BOOL).

    python reference.py     # needs torch and safetensors; made with 2.13.0 and 0.8.0
"""
import pathlib

import torch
from safetensors.torch import save_file

types = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
}
tensors = {f"type.{k}": torch.arange(6).reshape(2, 3).to(t) for k, t in types.items()}
tensors["type.BOOL"] = (torch.arange(6) % 2).reshape(2, 3).bool()
tensors["empty"] = torch.zeros(0, 7)
tensors["scalar"] = torch.tensor(1.5)
tensors['\u00e9 "<&>"\t'] = torch.zeros(1, dtype=torch.uint8)
save_file(tensors, str(pathlib.Path(__file__).with_name("reference.safetensors")), metadata={"format": "pt"})
