"""At what size and with how many channels a dataset is packed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ganmodels.data.errors import DataError
from ganmodels.data.stream import ImageFacts, ItemStream

Size = tuple[int, int]

SMALLEST_SIDE = 4
LARGEST_SIDE = 1024
_LARGEST_CHOSEN_SIDE = 256


@dataclass(frozen=True)
class Plan:
    """Shape and type of one packed item, and the sentence that explains it."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.uint8] | np.dtype[np.float32]
    rule: str

    @property
    def item_bytes(self) -> int:
        """Bytes of one packed item."""
        return math.prod(self.shape) * self.dtype.itemsize


def plan_items(stream: ItemStream, size: Size | None) -> Plan:
    """Decide the packed form of a dataset, before anything is decoded in full.

    ``size`` (height, width) wins. Without it images that all have one size keep it; mixed
    sizes become square, with the median of the shorter sides rounded down to a multiple of 8,
    from 8 to 256. Sides outside 4..1024 are refused. Points keep their coordinates.

    Raises: DataError ``size_out_of_bounds``, ``size_not_applicable``, ``packed_too_large``.
    """
    if isinstance(stream.facts, ImageFacts):
        plan = _plan_images(stream.facts, size)
    else:
        if size is not None:
            raise DataError(
                "size_not_applicable", "The dataset holds points, which have no size; leave it out."
            )
        shape = (stream.facts.dimensions,)
        plan = Plan(shape, np.dtype(np.float32), "Points are kept in their own units.")
    packed_bytes = plan.item_bytes * stream.count
    if packed_bytes > stream.limits.max_packed_bytes:
        raise DataError(
            "packed_too_large",
            f"{stream.count} items of shape {plan.shape} need {packed_bytes} bytes; at most "
            f"{stream.limits.max_packed_bytes} are allowed: choose a smaller size or fewer items.",
            stream.limits.max_packed_bytes,
        )
    return plan


def _plan_images(facts: ImageFacts, size: Size | None) -> Plan:
    height, width = size or _natural_size(facts.sizes)
    for side in (height, width):
        if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
            raise DataError(
                "size_out_of_bounds",
                f"Images would be packed at {height}x{width}; each side must be "
                f"{SMALLEST_SIDE} to {LARGEST_SIDE} pixels: give such a size.",
                LARGEST_SIDE,
            )
    rule = _explain(facts.sizes, (height, width), is_chosen=size is not None)
    return Plan((height, width, facts.channels), np.dtype(np.uint8), rule)


def _natural_size(sizes: Mapping[Size, int]) -> Size:
    if len(sizes) == 1:
        return next(iter(sizes))
    shorter = np.repeat([min(size) for size in sizes], list(sizes.values()))
    side = int(np.median(shorter)) // 8 * 8
    side = min(max(side, 8), _LARGEST_CHOSEN_SIDE)
    return side, side


def _explain(sizes: Mapping[Size, int], target: Size, *, is_chosen: bool) -> str:
    """One sentence for the report; sizes are height x width."""
    wanted = f"{target[0]}x{target[1]}"
    if list(sizes) == [target]:
        return f"All images are {wanted} and kept as they are."
    how = f"cropped at the centre to the shape of {wanted} and resized to it (Lanczos)"
    if is_chosen:
        return f"Images are {how}, the size asked for."
    return (
        f"Images of {len(sizes)} sizes are {how}, the median shorter side rounded down to a "
        f"multiple of 8, at most {_LARGEST_CHOSEN_SIDE}."
    )
