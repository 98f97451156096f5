"""Tensors as the bytes of a safetensors file, piece by piece.

The library makes all bytes at once, which is a second copy of a training's state in memory; or it
writes a file itself, without waiting for the disk and without saying which error the system gave.
"""

import json
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

_TYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ALIGNMENT_BYTES = 8


def safetensors_parts(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """The header, then the bytes of each tensor; equal tensors give equal bytes.

    Raises:
        KeyError: for a type of number that has no name in the format.
    """
    # The widest numbers first, so that each tensor is aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header, end = {}, 0
    for name in names:
        tensor = tensors[name]
        start, end = end, end + tensor.numel() * tensor.element_size()
        shape, type_name = list(tensor.shape), _TYPE_NAMES[tensor.dtype]
        header[name] = {"dtype": type_name, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT_BYTES)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        # PyTorch has no bytes of nothing.
        if len(flat):
            yield flat.view(torch.uint8).numpy().data
