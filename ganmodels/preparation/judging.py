"""How many items a discriminator judges at once, so that none depends on its place among them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganmodels.preparation.fixed import same_bits

Saying = Callable[[int, int], Sequence[Tensor]]


@torch.inference_mode()
def steady_size(say: Saying, most: int) -> int:
    """The largest size from ``most`` down by halves in which items are judged alike everywhere.

    ``say`` is given the place of a first item and a size, and gives all that is said of so many
    items from there on, float32 [size, ...] each. Some libraries sum the rows of a batch by blocks,
    and round otherwise where one ends; one item at a time has no place.
    """
    size = most
    while size > 1 and not _is_steady(say, size):
        size //= 2
    return size


def _is_steady(say: Saying, size: int) -> bool:
    """Whether all but the first of some items stay the same one place further to the front."""
    pairs = zip(say(0, size), say(1, size), strict=True)
    return all(same_bits(here[1:], moved[:-1]) for here, moved in pairs)
