"""Batches of real items as a pure function of (seed, draw): there is no position to save."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganmodels.data.shelves import Where, shelve
from ganmodels.several import WHOLE, Share
from ganmodels.spaces import ImageSpace, Space
from ganmodels.types import Items, Labels


class Batch(NamedTuple):
    """Items as the networks see them, with labels where the dataset has them."""

    items: Items
    labels: Labels | None


Draw = Callable[[int], Batch]


class Deck(NamedTuple):
    """What a match is played with: batch number d of real items, by d; and, where the game asks
    for them, of items of the source dataset and of items whose labels may be looked at.
    """

    real: Draw
    source: Draw | None = None
    labelled: Draw | None = None


def parts(batch: Batch, count: int) -> list[Batch]:
    """The batch in ``count`` equal parts, in order."""
    size = len(batch.items) // count
    items = batch.items.split(size)
    labels = [None] * count if batch.labels is None else batch.labels.split(size)
    return [Batch(*part) for part in zip(items, labels, strict=True)]


def stream(seed: int, purpose: str, index: int, random: torch.Generator) -> torch.Generator:
    """The generator, set to the start of the stream named by (seed, purpose, index)."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return random.manual_seed(int.from_bytes(digest[:8]))


def to_network(items: NDArray[np.generic] | Tensor, space: Space, device: torch.device) -> Items:
    """Stored items (uint8 [n, h, w, c] or float32 [n, d]) as the networks see them."""
    # Copied: packed items are memory-mapped read-only, which PyTorch cannot express.
    tensor = items if isinstance(items, Tensor) else torch.from_numpy(np.array(items)).to(device)
    if isinstance(space, ImageSpace):
        # Channels stay last in memory, which is the layout that convolutions run fastest in.
        return tensor.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return tensor.float() / space.scale


class Batches:
    """Endless shuffled passes over items; draw ``d`` is always the same batch.

    Items lie decoded on the device (uint8 for images) unless they are to be streamed to it. Each
    pass shows every item once; a batch may span two passes, or many. Orders of another ``purpose``
    are others. Of each batch a ``share`` is given.
    """

    def __init__(
        self,
        items: NDArray[np.generic],
        labels: NDArray[np.int64] | None,
        space: Space,
        batch_size: int,
        seed: int,
        device: torch.device,
        purpose: str = "order",
        share: Share = WHOLE,
        where: Where = "resident",
    ) -> None:
        self.space, self.batch_size, self.seed, self.device = space, batch_size, seed, device
        self._purpose, self._share = purpose, share
        self._shelf = shelve(items, device, where)
        # Orders lie where items are chosen: to bring one back would wait for the device.
        self._order_device = device if where == "resident" else torch.device("cpu")
        self._labels = None if labels is None else torch.from_numpy(labels).to(device)
        self._random = torch.Generator()
        self._passes: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._shelf)

    def at(self, draw: int) -> Batch:
        """Batch number ``draw`` (from 0)."""
        indices = self._indices(draw)
        stored = self._shelf.take(draw, indices, lambda: self._indices(draw + 1))
        items = to_network(stored, self.space, self.device)
        return Batch(items, None if self._labels is None else self._labels[indices])

    def _indices(self, draw: int) -> Tensor:
        start, stop = draw * self.batch_size, (draw + 1) * self.batch_size
        count = len(self)
        first, last = start // count, (stop - 1) // count
        self._passes = {number: self._order(number) for number in range(first, last + 1)}
        order = torch.cat(list(self._passes.values()))
        return self._share.of(order[start - first * count : stop - first * count])

    def _order(self, number: int) -> Tensor:
        """The order of items in one pass."""
        if number in self._passes:
            return self._passes[number]
        random = stream(self.seed, self._purpose, number, self._random)
        return torch.randperm(len(self), generator=random).to(self._order_device)
