"""Draws of random numbers, each for all items of a batch, of which a process may have a share.

Processes that play a batch together draw the same numbers and keep those of their own items, so
what is played does not depend on how many they are.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

Shape = tuple[int, ...]


class SharedGenerator(torch.Generator):
    """A generator for the items at one of ``size`` equal places of a batch; ``place`` is from 0."""

    place: int = 0
    size: int = 1

    @classmethod
    def of(cls, place: int, size: int, device: torch.device) -> "SharedGenerator":
        """A generator on a device."""
        made = cls(device)
        made.place, made.size = place, size
        return made


def normal(
    shape: Shape, random: torch.Generator | None, device: torch.device, items: int = 0
) -> Tensor:
    """N(0, 1) of this shape, whose dimension ``items`` counts the items of a batch."""
    return _own(partial(torch.randn, generator=random, device=device), shape, random, items)


def even(
    shape: Shape, random: torch.Generator | None, device: torch.device, items: int = 0
) -> Tensor:
    """U[0, 1) of this shape, whose dimension ``items`` counts the items of a batch."""
    return _own(partial(torch.rand, generator=random, device=device), shape, random, items)


def whole(
    below: int, shape: Shape, random: torch.Generator, device: torch.device, items: int = 0
) -> Tensor:
    """Whole numbers from 0 of this shape, whose dimension ``items`` counts the items of a batch."""
    draw = partial(torch.randint, below, generator=random, device=device)
    return _own(draw, shape, random, items)


def _own(
    draw: Callable[[Shape], Tensor], shape: Shape, random: torch.Generator | None, items: int
) -> Tensor:
    if not isinstance(random, SharedGenerator):
        return draw(shape)
    count = shape[items]
    everyone = (*shape[:items], count * random.size, *shape[items + 1 :])
    return draw(everyone).narrow(items, count * random.place, count)
