"""Stored items as the referee's networks see them, a batch at a time."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ganmodels.data.batches import to_network
from ganmodels.spaces import ImageSpace, Space
from ganmodels.types import Items

BATCH = 250


def shrunken(
    items: NDArray[np.generic], space: Space, longest_edge: int, device: torch.device
) -> Items:
    """Items as networks see them; larger images are averaged down to that longest edge.

    It bounds the work for large images, and hides from the referee what is finer.
    """
    seen = to_network(items, space, device)
    if not isinstance(space, ImageSpace) or max(space.height, space.width) <= longest_edge:
        return seen
    return adaptive_avg_pool2d(seen, shrunken_size(space, longest_edge))


def shrunken_size(space: ImageSpace, longest_edge: int) -> tuple[int, int]:
    """Height and width after shrinking, at least 1 each."""
    ratio = min(1.0, longest_edge / max(space.height, space.width))
    return max(1, round(space.height * ratio)), max(1, round(space.width * ratio))


def in_batches(
    items: NDArray[np.generic], compute: Callable[[NDArray[np.generic]], Tensor]
) -> NDArray[np.float32]:
    """What ``compute`` makes of each 250 items, joined and flattened to float32 [n, d].

    No items give an array [0, 0].
    """
    with torch.inference_mode():
        parts = [
            compute(items[start : start + BATCH]).flatten(1).float().cpu()
            for start in range(0, len(items), BATCH)
        ]
    joined: NDArray[np.float32] = torch.cat(parts).numpy() if parts else np.empty((0, 0), "f4")
    return joined
