"""Layers that round alike for few items and for many, so that a lone item needs no company.

Libraries take other kernels for the smallest batches, in some layers only. Those layers are given
a few items more; all others compute no more than was asked for.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ganmodels.preparation.fixed import FixedBatch, same_bits
from ganmodels.preparation.work import LAYERS

_FEW = (1, 2, 4, 8, 16)
_MANY = 32


class AtLeast(nn.Module):
    """A layer that is never given fewer items than ``fewest``: the rest are zeros."""

    def __init__(self, layer: nn.Module, fewest: int) -> None:
        super().__init__()
        self.layer, self.fewest = layer, fewest

    def forward(self, values: Tensor) -> Tensor:
        """[batch, ...] to what the layer makes of it."""
        missing = max(0, self.fewest - len(values))
        # Pairs of what is added before and after an axis, from the last one to the first.
        padded = pad(values, (*[0, 0] * (values.ndim - 1), 0, missing)) if missing else values
        made: Tensor = self.layer(padded)
        return made[: len(values)]


def steady(network: nn.Module, fixed: FixedBatch) -> None:
    """Give layers company, in place, where the first few items alone would round otherwise.

    Each layer is tried on what it reads when the network makes items of the fixed batch.
    """
    many = fixed.part(0, min(_MANY, len(fixed.labels)))
    for name, passed in _passed(network, many).items():
        layer = network.get_submodule(name)
        fewest = _fewest(layer, passed)
        if fewest > 1:
            network.set_submodule(name, AtLeast(layer, fewest))


class _Passed(NamedTuple):
    """What a layer read, and what it made of it."""

    given: Tensor
    made: Tensor


def _passed(network: nn.Module, fixed: FixedBatch) -> dict[str, _Passed]:
    """What passed each layer, by its name."""
    passed: dict[str, _Passed] = {}
    names = {id(layer): name for name, layer in network.named_modules()}

    def note(layer: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
        passed[names[id(layer)]] = _Passed(given[0], made)

    layers = [layer for layer in network.modules() if isinstance(layer, LAYERS)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    fixed.through(network)
    for hook in hooks:
        hook.remove()
    return passed


@torch.inference_mode()
def _fewest(layer: nn.Module, passed: _Passed) -> int:
    """The smallest count from which on items come out as they do among many."""
    fewest = len(passed.given)
    for count in reversed([count for count in _FEW if count < fewest]):
        # Not from the first one: what begins elsewhere in memory may be summed otherwise.
        some = slice(1, 1 + count)
        if not same_bits(layer(passed.given[some]), passed.made[some]):
            return fewest
        fewest = count
    return fewest
