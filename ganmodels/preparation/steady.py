"""Layers that round alike for few items and for many, so that a lone item needs no company.

Libraries take other kernels for the smallest batches, in some layers only. Those layers are given
a few items more; all others compute no more than was asked for.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ganmodels.preparation.fixed import FixedBatch, same_bits
from ganmodels.preparation.packing import Packed
from ganmodels.preparation.passed import Passed, passed
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
    many = fixed.first(_MANY)
    for name, seen in passed(network, many, (*LAYERS, Packed)).items():
        layer = network.get_submodule(name)
        fewest = _fewest(layer, seen)
        if fewest > 1:
            network.set_submodule(name, AtLeast(layer, fewest))


@torch.inference_mode()
def _fewest(layer: nn.Module, seen: Passed) -> int:
    """The smallest count from which on items come out as they do among many."""
    fewest = len(seen.given)
    for count in reversed([count for count in _FEW if count < fewest]):
        # Not from the first one: what begins elsewhere in memory may be summed otherwise.
        some = slice(1, 1 + count)
        if not same_bits(layer(seen.given[some]), seen.made[some]):
            return fewest
        fewest = count
    return fewest
