"""The number format of a generator that serves: the quickest whose images look the same."""

from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ganmodels.machine import bfloat16_pays, timed
from ganmodels.networks.virtual import RememberedNorm2d
from ganmodels.preparation.fixed import FixedBatch
from ganmodels.preparation.folding import NORMS
from ganmodels.preparation.ready import Precision, Ready
from ganmodels.preparation.work import Work
from ganmodels.sampling import from_network
from ganmodels.spaces import ImageSpace, Space
from ganmodels.types import Items

_LARGEST_GREY_DIFFERENCE = 1
# Below it calls weigh more than products: measured, 8x8 images gain nothing and 28x28 ones do.
_LEAST_WORK = 2_500_000
# Grouped convolutions are slower in bfloat16: measured, R3 of 192 channels, where 73 % of the work
# is dense, loses, and one of 768, where 91 % is, gains.
_LEAST_DENSE_SHARE = 0.8
_TIMED_ITEMS = 16


class Verdict(NamedTuple):
    """A network in the precision that was chosen, and why; ``grey_difference`` where it was tried.

    ``seconds_per_item`` of the fixed batch, by precision.
    """

    network: Ready
    precision: Precision
    reason: str
    grey_difference: int | None
    seconds_per_item: dict[str, float]


def choose(
    network: nn.Module, space: Space, work: Work, fixed: FixedBatch, expected: Items
) -> Verdict:
    """bfloat16 where it pays and no stored value is more than a grey level off.

    Nothing is timed here but for the record: what was timed would now and then fall out
    otherwise. Measured, bfloat16 is 1.2 to 3.9 times as quick where these rules allow it.
    """
    device, some = fixed.labels.device, fixed.first(_TIMED_ITEMS)
    wide = Ready(network, "float32")
    _, spent = timed(lambda: some.through(wide), device)
    times = {"float32": spent / len(some.labels)}
    objection = _objection(space, work, device)
    if objection:
        return Verdict(wide, "float32", objection, None, times)
    narrow = Ready(narrowed(network), "bfloat16")
    items, spent = timed(lambda: fixed.through(narrow), device)
    times["bfloat16"] = spent / len(fixed.labels)
    difference = _grey_difference(items, expected, space)
    told = f"values in bfloat16 are up to {difference} of 255 grey levels from those in float32"
    if difference > _LARGEST_GREY_DIFFERENCE:
        return Verdict(wide, "float32", told, difference, times)
    return Verdict(narrow, "bfloat16", told, difference, times)


def narrowed(network: nn.Module) -> nn.Module:
    """A copy in bfloat16; norms keep what they know in float32, and take either."""
    copy = deepcopy(network).to(torch.bfloat16)
    for name, module in network.named_modules():
        if isinstance(module, (*NORMS, RememberedNorm2d)):
            copy.set_submodule(name, deepcopy(module))
    return copy


def _objection(space: Space, work: Work, device: torch.device) -> str | None:
    """Why bfloat16 is not tried, if it is not."""
    if not isinstance(space, ImageSpace):
        return "points are stored as float32"
    if work.total < _LEAST_WORK:
        return "the network is too small to gain from bfloat16"
    if work.dense < _LEAST_DENSE_SHARE * work.total:
        return "grouped convolutions are slower in bfloat16"
    if not bfloat16_pays(device):
        return "the processor does not gain from bfloat16"
    return None


def _grey_difference(items: Items, expected: Items, space: Space) -> int:
    stored, wanted = (from_network(each, space).astype(np.int16) for each in (items, expected))
    return int(np.abs(stored - wanted).max())
