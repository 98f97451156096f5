"""Weights laid out once as the kernels of a processor read them.

oneDNN reads weights in blocks of its own. Of plain ones it makes such blocks at every call, which
for a lone item takes as long as half of all the rest. The operators are those that torch's own
compiler calls, so they may change with torch; where one is missing, layers stay as they are.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ganmodels.machine import is_out_of_memory
from ganmodels.preparation.fixed import FixedBatch, same_bits
from ganmodels.preparation.passed import passed
from ganmodels.preparation.work import LAYERS

_Run = Callable[[Tensor], Tensor]
_OPERATORS = (
    "_reorder_linear_weight",
    "_linear_pointwise",
    "_reorder_convolution_weight",
    "_convolution_pointwise",
    "_reorder_convolution_transpose_weight",
    "_convolution_transpose_pointwise",
)
# About as many as are computed at once by a service at work; the layout serves all counts.
_ITEMS = 16
# No activation behind the layer, so none of its numbers and no choice of how to compute it.
_ALONE: tuple[str, list[object], str] = ("none", [], "")


class Packed(nn.Module):
    """A layer whose weight is laid out for good."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self._run = run

    def forward(self, values: Tensor) -> Tensor:
        """[batch, ...] to what the layer makes of it."""
        return self._run(values)


def pack(network: nn.Module, batch: FixedBatch) -> int:
    """Pack the layers that make the same bits of a batch then, in place; returns how many.

    Networks may call packed layers as before; their weights cannot be read any more.
    """
    if batch.inputs.is_cuda or not _is_offered():
        return 0
    packed, some = 0, batch.first(_ITEMS)
    for name, (given, made) in passed(network, some, LAYERS).items():
        run = _sound(network.get_submodule(name), given, made)
        if run is not None:
            network.set_submodule(name, Packed(run))
            packed += 1
    return packed


def _sound(layer: nn.Module, given: Tensor, made: Tensor) -> _Run | None:
    """What the layer does, packed; None where that is refused, or would make other bits."""
    try:
        run = _packed(layer, given)
        return run if run is not None and same_bits(run(given), made) else None
    # Operators know which layers and processors they serve, and say so in no other way.
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        return None


def _is_offered() -> bool:
    """Whether this torch can; on some processors it is built without oneDNN."""
    known = torch.ops.mkldnn
    return torch.backends.mkldnn.is_available() and all(hasattr(known, one) for one in _OPERATORS)


@torch.inference_mode()
def _packed(layer: nn.Module, given: Tensor) -> _Run | None:
    """What the layer does, with its weight packed; None for what is not done so."""
    if type(layer) is nn.Linear:
        return _linear(layer, len(given))
    if type(layer) is nn.Conv2d and layer.padding_mode == "zeros":
        return _convolution(layer, list(given.shape))
    if type(layer) is nn.ConvTranspose2d and layer.groups == 1:
        return _transposed(layer, list(given.shape))
    return None


def _linear(layer: nn.Linear, count: int) -> _Run:
    weight, bias = torch.ops.mkldnn._reorder_linear_weight(layer.weight, count), layer.bias
    run = torch.ops.mkldnn._linear_pointwise.default
    return lambda values: run(values, weight, bias, *_ALONE)


def _convolution(layer: nn.Conv2d, shape: list[int]) -> _Run | None:
    if isinstance(layer.padding, str):
        return None
    sizes = (layer.padding, layer.stride, layer.dilation, layer.groups)
    weight = torch.ops.mkldnn._reorder_convolution_weight(layer.weight, *sizes, shape)
    bias = layer.bias
    run = torch.ops.mkldnn._convolution_pointwise.default
    return lambda values: run(values, weight, bias, *sizes, *_ALONE)


def _transposed(layer: nn.ConvTranspose2d, shape: list[int]) -> _Run:
    sizes = (layer.padding, layer.output_padding, layer.stride, layer.dilation, layer.groups)
    weight = torch.ops.mkldnn._reorder_convolution_transpose_weight(layer.weight, *sizes, shape)
    bias = layer.bias
    run = torch.ops.mkldnn._convolution_transpose_pointwise.default
    return lambda values: run(values, weight, bias, *sizes, *_ALONE)
