"""Batch sizes in which an item has the same bytes, wherever in the batch it lies.

Kernels choose by the size of a batch how they lay out their sums, so some sizes round otherwise.
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganmodels.machine import timed
from ganmodels.preparation.fixed import FixedBatch, same_bits

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
# Measured, images per second grow up to batches of about 16 and by a few percent beyond; of sizes
# that are about as quick the smallest is enough, as what waits for it waits less.
_WORTH_WHILE, _ABOUT_AS_QUICK = 16, 0.97


class Sizes(NamedTuple):
    """Sizes that may be mixed, those that round otherwise, and seconds per item by size."""

    exact: tuple[int, ...]
    refused: tuple[int, ...]
    seconds_per_item: dict[int, float]


def exact_sizes(network: nn.Module, fixed: FixedBatch) -> Sizes:
    """The sizes up to that of the fixed batch that agree bit for bit with the largest sound one.

    A size is sound when its items stay the same one place further on. All are compared on items
    of the fixed batch that lie at other places there.
    """
    offered = [size for size in BATCH_SIZES if size <= len(fixed.labels)]
    moved = {size: _run(network, fixed, size, start=1) for size in offered}
    for size in reversed(offered):
        reference = _run(network, fixed, size, start=0)
        if _agree(reference, moved[size]):
            break
    # Kernels that are not deterministic agree with nothing; then no size is better than another.
    agreeing = [size for size in offered if _agree(reference, moved[size])] or offered[:1]
    costs = {size: moved[size].seconds / size for size in offered}
    costs[size] = min(costs[size], reference.seconds / size)
    top = _top(agreeing, costs)
    refused = tuple(size for size in offered if size not in agreeing)
    return Sizes(tuple(size for size in agreeing if size <= top), refused, costs)


def _top(sizes: list[int], costs: Mapping[int, float]) -> int:
    """The size that is worth while to fill, by what an item costs in each."""
    large = [size for size in sizes if size >= _WORTH_WHILE] or sizes[-1:]
    enough = min(costs[size] for size in large) / _ABOUT_AS_QUICK
    return next(size for size in large if costs[size] <= enough)


class _Run(NamedTuple):
    """Items of the fixed batch as batches of one size make them, and the quickest batch."""

    items: Tensor
    seconds: float


def _run(network: nn.Module, fixed: FixedBatch, size: int, start: int) -> _Run:
    """All items from the first on, or half of them from the second on: enough to find a sum."""
    whole = len(fixed.labels)
    count = max(size, whole // 2) if start else whole
    parts = [fixed.part(first, size) for first in range(start, start + count, size)]
    device = fixed.labels.device
    runs = [timed(partial(part.through, network), device) for part in parts]
    return _Run(torch.cat([items for items, _ in runs]), min(spent for _, spent in runs))


def _agree(reference: _Run, moved: _Run) -> bool:
    """Whether the items that both made have the same bits; those moved begin with the second."""
    expected = reference.items.roll(-1, 0)[: len(moved.items)]
    return same_bits(expected, moved.items)
