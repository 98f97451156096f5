"""What is written piece by piece is what the safetensors library reads."""

import pytest
import torch
from safetensors.torch import load

from worker.store.tensorfile import safetensors_parts

TYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


def file_bytes(tensors) -> bytes:
    return b"".join(safetensors_parts(tensors))


def test_the_library_reads_what_was_written():
    generator = torch.Generator().manual_seed(0)
    tensors = {
        str(dtype): (100 * torch.randn(3, 5, generator=generator)).to(dtype) for dtype in TYPES
    }
    tensors |= {
        "scalar": torch.tensor(7.0),
        "empty": torch.empty(0, 4),
        "turned": torch.arange(6).reshape(2, 3).T,
        'näme "quoted"': torch.tensor([float("nan"), float("inf"), -0.0]).requires_grad_(),
    }
    read = load(file_bytes(tensors))
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape)
        assert read[name].tolist() == tensor.tolist() or name.startswith("näme")
    quoted = read['näme "quoted"']
    assert torch.equal(quoted.view(torch.int32), tensors['näme "quoted"'].view(torch.int32))


def test_no_tensors_make_a_file_too():
    assert load(file_bytes({})) == {}


def test_equal_tensors_give_equal_bytes_in_any_order():
    one, two = torch.arange(3), torch.ones(5, dtype=torch.bool)
    assert file_bytes({"a": one, "b": two}) == file_bytes({"b": two, "a": one})


def test_a_type_that_the_format_has_no_name_for_is_refused():
    with pytest.raises(KeyError):
        file_bytes({"a": torch.ones(2, dtype=torch.complex64)})
